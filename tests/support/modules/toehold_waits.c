// A module that takes four seconds, and that verity's hash could come from. The time begins when
// there is a device, if one is named: however long that takes, there is something to happen then.
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/namei.h>

static char *device;
module_param(device, charp, 0);

static int __init wait(void)
{
	struct path found;
	int tries;

	for (tries = 0; device && tries < 3000; tries++) {
		if (!kern_path(device, 0, &found)) {
			path_put(&found);
			break;
		}
		msleep(20);
	}
	ssleep(4);
	return 0;
}
module_init(wait);

MODULE_ALIAS("crypto-sha256");
MODULE_DESCRIPTION("Takes its time");
MODULE_LICENSE("GPL");
