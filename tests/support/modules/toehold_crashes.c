// A driver whose init function writes where nothing is.
#include <linux/module.h>

static int __init crash(void)
{
	WRITE_ONCE(*(int *)NULL, 1);
	return 0;
}
module_init(crash);

// The host bridge of QEMU's q35 machine.
MODULE_ALIAS("pci:v00008086d000029C0sv*sd*bc*sc*i*");
MODULE_DESCRIPTION("Crashes");
MODULE_LICENSE("GPL");
