#include "kt.h"
void test_vm(void)
{
}
