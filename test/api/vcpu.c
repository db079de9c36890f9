#include "kt.h"
void test_vcpu(void)
{
}
