// A driver that cannot be loaded before the one whose init function hangs.
#include <linux/module.h>

extern int toehold_hangs;

static int __init need(void)
{
	return toehold_hangs;
}
module_init(need);

// The host bridge of QEMU's q35 machine.
MODULE_ALIAS("pci:v00008086d000029C0sv*sd*bc*sc*i*");
MODULE_DESCRIPTION("Needs the one that hangs");
MODULE_LICENSE("GPL");
