// Command floor is an init that powers off at once: the least that a VM with this kernel can take. `make bench`
// sets the boot of naru's VM beside it.
package main

import "syscall"

func main() {
	// An error leaves nothing to do: the kernel panics when init ends, and the bench sees that.
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
