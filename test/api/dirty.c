#include "kt.h"
void test_dirty(void)
{
}
