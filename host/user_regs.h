#pragma once

/*
 * struct user_regs_struct of <sys/user.h>, without that header's opinion of
 * what PAGE_SIZE is.
 */
#pragma push_macro("PAGE_SHIFT")
#pragma push_macro("PAGE_SIZE")
#pragma push_macro("PAGE_MASK")
#undef PAGE_SHIFT
#undef PAGE_SIZE
#undef PAGE_MASK
#include <sys/user.h>
#pragma pop_macro("PAGE_MASK")
#pragma pop_macro("PAGE_SIZE")
#pragma pop_macro("PAGE_SHIFT")
