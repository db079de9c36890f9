#include "kt.h"
void test_regs(void)
{
}
