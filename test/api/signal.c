#include "kt.h"
void test_signal(void)
{
}
