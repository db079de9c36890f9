#include "kt.h"
void test_eventfd(void)
{
}
