#include "kt.h"
void test_stats(void)
{
}
