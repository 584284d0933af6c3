// A module that takes four seconds, and that verity's hash could come from.
#include <linux/delay.h>
#include <linux/module.h>

static int __init wait(void)
{
	ssleep(4);
	return 0;
}
module_init(wait);

MODULE_ALIAS("crypto-sha256");
MODULE_DESCRIPTION("Takes its time");
MODULE_LICENSE("GPL");
