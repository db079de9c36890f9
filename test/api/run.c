#include "kt.h"
void test_run(void)
{
}
