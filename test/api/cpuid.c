#include "kt.h"
void test_cpuid(void)
{
}
