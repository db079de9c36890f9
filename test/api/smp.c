#include "kt.h"
void test_smp(void)
{
}
