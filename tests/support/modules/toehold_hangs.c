// A driver whose init function takes ten minutes, and cannot be interrupted.
#include <linux/delay.h>
#include <linux/module.h>

// For the one that needs it.
int toehold_hangs;
EXPORT_SYMBOL_GPL(toehold_hangs);

static int __init hang(void)
{
	ssleep(600);
	return 0;
}
module_init(hang);

// The host bridge of QEMU's q35 machine.
MODULE_ALIAS("pci:v00008086d000029C0sv*sd*bc*sc*i*");
MODULE_DESCRIPTION("Hangs");
MODULE_LICENSE("GPL");
