#include "kt.h"
void test_io(void)
{
}
