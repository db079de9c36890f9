#include "test/guest/lib/trap.h"

static void ud(void)
{
	CHECK_TRAP("ud2", TRY("ud2", :), X_UD, 0);
}

void guest_main(void)
{
	RUN(ud);
	test_end();
}
