#include "kt.h"
void test_memory(void)
{
}
