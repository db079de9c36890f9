#include "kt.h"
void test_msr(void)
{
}
