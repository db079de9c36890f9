#include "kt.h"
void test_irq(void)
{
}
