// SPDX-License-Identifier: GPL-2.0
/*
 * naru_events: what changed in a shared folder on the host reaches watchers in the VM.
 *
 * A file server can tell a FUSE client that a name or an inode is no longer what it was, but Linux has no word by which
 * it could raise an inotify event (up to 7.x; the notifications that there are, FUSE_NOTIFY_INVAL_* and _DELETE, raise
 * none, and virtiofs has no queue for them). What others do, setting a file's times from inside the VM, changes the
 * file, and is heard on the host as a change again. The kernel's own function is exported, though: fsnotify().
 *
 * /dev/naru-events, for root only:
 *   write()  raises the events of one change, and makes the kernel forget the names that are no longer true.
 *   read()   returns one watch that has begun on a FUSE file system: the process (u32), the file system (u32), and the path
 *            from the file system's root. Process 0 stands for "some were lost". It blocks while there is none.
 */
#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/fsnotify_backend.h>
#include <linux/kprobes.h>
#include <linux/magic.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

/* The record of a write: two names follow the header, without a zero byte. guest/shares/device.go has the same. */
struct change {
	u32 mask; /* FS_CREATE, FS_DELETE, FS_MODIFY, FS_ATTRIB, FS_CLOSE_WRITE, FS_MOVED_FROM, FS_MOVED_TO or both, FS_DELETE_SELF; FS_ISDIR */
	s32 dir;  /* descriptor of the folder; of the old one for a move */
	s32 to;   /* of the new one */
	u16 len, to_len;
};

static const u32 known = FS_CREATE | FS_DELETE | FS_MODIFY | FS_ATTRIB | FS_CLOSE_WRITE | FS_MOVE | FS_DELETE_SELF | FS_ISDIR;

/* side is a folder and a name in it, and what the kernel remembers of that name. */
struct side {
	struct file *file;
	struct dentry *dir;
	struct qstr name;
	char text[NAME_MAX + 1]; /* of name: inotify wants the zero byte that names in the kernel end with */
	struct dentry *child; /* NULL when it remembers nothing */
	struct inode *inode;  /* of child, with a reference; NULL when there is none */
};

static int open_side(struct side *s, int fd, const char *name, u16 len)
{
	s->file = fget_raw(fd); /* O_PATH will do */
	if (!s->file)
		return -EBADF;
	s->dir = s->file->f_path.dentry;
	if (!d_is_dir(s->dir))
		return -ENOTDIR;
	if (!len)
		return 0;
	if (memchr(name, '/', len) || memchr(name, 0, len))
		return -EINVAL;
	memcpy(s->text, name, len); /* the rest is zero */
	s->name = (struct qstr)QSTR_INIT(s->text, len);
	s->child = d_hash_and_lookup(s->dir, &s->name);
	if (IS_ERR(s->child))
		s->child = NULL;
	if (s->child && d_really_is_positive(s->child)) {
		s->inode = d_inode(s->child);
		ihold(s->inode);
	}
	return 0;
}

static void close_side(struct side *s)
{
	dput(s->child);
	if (s->inode)
		iput(s->inode);
	if (s->file)
		fput(s->file);
}

/* forget drops the name: the next who asks for it asks the host. Watches stay, they are at the inode. */
static void forget(struct side *s)
{
	if (s->child)
		d_invalidate(s->child);
}

/* named tells watchers of the folder. With no inode of its own to speak of, the folder stands in: only its file system is looked at. */
static void named(struct side *s, u32 mask, struct inode *inode, u32 cookie)
{
	struct inode *dir = d_inode(s->dir);

	fsnotify_name(mask, inode ? inode : dir, FSNOTIFY_EVENT_INODE, dir, &s->name, cookie);
}

/* unlinked tells watchers of an inode that it lost a name, the last one perhaps. */
static void unlinked(struct inode *inode)
{
	fsnotify_inode(inode, FS_ATTRIB);
	if (S_ISDIR(inode->i_mode) || inode->i_nlink <= 1)
		fsnotify_inoderemove(inode);
}

static u32 kind(u32 mask, struct inode *inode)
{
	if (inode)
		return S_ISDIR(inode->i_mode) ? FS_ISDIR : 0;
	return mask & FS_ISDIR;
}

static int raise(u32 mask, struct side *s)
{
	if (mask & FS_DELETE) {
		forget(s);
		if (s->inode && !S_ISDIR(s->inode->i_mode))
			fsnotify_inode(s->inode, FS_ATTRIB);
		named(s, FS_DELETE | kind(mask, s->inode), s->inode, 0);
		if (s->inode && (S_ISDIR(s->inode->i_mode) || s->inode->i_nlink <= 1))
			fsnotify_inoderemove(s->inode);
		return 0;
	}
	if (mask & FS_CREATE)
		named(s, FS_CREATE | kind(mask, s->inode), s->inode, 0);
	mask &= FS_MODIFY | FS_ATTRIB | FS_CLOSE_WRITE;
	if (mask && !s->inode)
		return -ENOENT;
	if (mask & FS_ATTRIB)
		fsnotify_dentry(s->child, FS_ATTRIB);
	if (mask & FS_MODIFY)
		fsnotify_dentry(s->child, FS_MODIFY);
	if (mask & FS_CLOSE_WRITE)
		fsnotify_dentry(s->child, FS_CLOSE_WRITE);
	return 0;
}

/* raise_move is one half of a move, or both with one cookie. */
static void raise_move(u32 mask, struct side *from, struct side *to)
{
	u32 cookie = fsnotify_get_cookie(), isdir = kind(mask, from->inode);
	struct inode *replaced = NULL;

	if ((mask & FS_MOVED_TO) && to->inode && to->inode != from->inode)
		replaced = to->inode;
	if (mask & FS_MOVED_FROM) {
		forget(from);
		named(from, FS_MOVED_FROM | isdir, from->inode, cookie);
	}
	if (mask & FS_MOVED_TO) {
		forget(to);
		named(to, FS_MOVED_TO | isdir, from->inode, cookie);
	}
	if (from->inode)
		fsnotify_inode(from->inode, FS_MOVE_SELF | isdir);
	if (replaced)
		unlinked(replaced);
}

static ssize_t events_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	struct side *sides, *from, *to;
	struct change *c;
	const char *names;
	int err;

	if (count < sizeof(*c) || count > sizeof(*c) + 2 * NAME_MAX)
		return -EINVAL;
	c = memdup_user(buf, count);
	if (IS_ERR(c))
		return PTR_ERR(c);
	err = -ENOMEM;
	sides = kcalloc(2, sizeof(*sides), GFP_KERNEL);
	if (!sides)
		goto out_change;
	from = &sides[0];
	to = &sides[1];
	names = (const char *)(c + 1);
	err = -EINVAL;
	if (count != sizeof(*c) + c->len + c->to_len || (c->mask & ~known) || c->len > NAME_MAX || c->to_len > NAME_MAX)
		goto out;
	if (c->mask & FS_DELETE_SELF) { /* of the folder itself */
		err = open_side(from, c->dir, NULL, 0);
		if (!err)
			fsnotify_inoderemove(d_inode(from->dir));
		goto out;
	}
	if (!(c->mask & ~(FS_MOVED_TO | FS_ISDIR))) { /* from where nobody looks */
		if (c->to_len)
			err = open_side(to, c->to, names + c->len, c->to_len);
		if (!err)
			raise_move(c->mask, from, to);
		goto out;
	}
	if (!c->len)
		goto out;
	err = open_side(from, c->dir, names, c->len);
	if (err)
		goto out;
	if (!(c->mask & FS_MOVE)) {
		err = raise(c->mask, from);
		goto out;
	}
	if (c->mask & FS_MOVED_TO) {
		err = c->to_len ? open_side(to, c->to, names + c->len, c->to_len) : -EINVAL;
		if (err)
			goto out;
	}
	raise_move(c->mask, from, to);
out:
	close_side(from);
	close_side(to);
	kfree(sides);
out_change:
	kfree(c);
	return err ? err : count;
}

/* Who begins to watch what: a ring. The dentry is held until it is read: FUSE drops one that nobody holds. */
#define RING 4096
static struct begun {
	u32 pid;
	struct dentry *what;
} ring[RING];
static unsigned int head, tail; /* guarded by lock; what lies between is to be read */
static bool lost;
static DEFINE_SPINLOCK(lock);
static DECLARE_WAIT_QUEUE_HEAD(waiting);

/* remember runs where nothing may sleep, so that no reference is given back here. */
static void remember(u32 pid, struct inode *inode)
{
	struct dentry *what = NULL;
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	if (head - tail < RING)
		what = d_find_alias(inode);
	if (what)
		ring[head++ % RING] = (struct begun){ pid, what };
	else
		lost = true;
	spin_unlock_irqrestore(&lock, flags);
	wake_up_interruptible(&waiting);
}

/*
 * fsnotify_add_mark_locked(mark, obj, obj_type, flags): the one way by which inotify and fanotify add a watch. Who adds it
 * has looked the path up and holds it meanwhile.
 */
static int adding(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct inode *inode = (struct inode *)regs_get_kernel_argument(regs, 1);

	if (regs_get_kernel_argument(regs, 2) != FSNOTIFY_OBJ_TYPE_INODE || inode->i_sb->s_magic != FUSE_SUPER_MAGIC)
		return 1;
	*(struct inode **)ri->data = inode;
	return 0;
}

static int added(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	if (!(int)regs_return_value(regs))
		remember(task_tgid_nr(current), *(struct inode **)ri->data);
	return 0;
}

static struct kretprobe probe = {
	.kp.symbol_name = "fsnotify_add_mark_locked",
	.entry_handler = adding,
	.handler = added,
	.data_size = sizeof(struct inode *),
	.maxactive = 64,
};

static bool any(void)
{
	return READ_ONCE(lost) || READ_ONCE(head) != READ_ONCE(tail);
}

/* take returns false when there is nothing. */
static bool take(struct begun *b)
{
	unsigned long flags;
	bool some = true;

	*b = (struct begun){};
	spin_lock_irqsave(&lock, flags);
	if (lost)
		lost = false;
	else if (head != tail)
		*b = ring[tail++ % RING];
	else
		some = false;
	spin_unlock_irqrestore(&lock, flags);
	return some;
}

static ssize_t events_read(struct file *file, char __user *buf, size_t count, loff_t *at)
{
	u32 header[2];
	struct begun b;
	char *page, *path = "";
	ssize_t len;

	if (count < sizeof(header) + PATH_MAX)
		return -EINVAL;
	page = (char *)__get_free_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	while (!take(&b)) {
		len = file->f_flags & O_NONBLOCK ? -EAGAIN : wait_event_interruptible(waiting, any());
		if (len)
			goto out;
	}
	header[0] = b.pid;
	header[1] = b.what ? b.what->d_sb->s_dev : 0;
	if (b.what)
		path = dentry_path_raw(b.what, page, PAGE_SIZE);
	dput(b.what);
	if (IS_ERR(path))
		path = "";
	len = strlen(path);
	if (copy_to_user(buf, header, sizeof(header)) || copy_to_user(buf + sizeof(header), path, len))
		len = -EFAULT;
	else
		len += sizeof(header);
out:
	free_page((unsigned long)page);
	return len;
}

static __poll_t events_poll(struct file *file, poll_table *table)
{
	poll_wait(file, &waiting, table);
	return EPOLLOUT | (any() ? EPOLLIN : 0);
}

static const struct file_operations events_fops = {
	.owner = THIS_MODULE,
	.read = events_read,
	.write = events_write,
	.poll = events_poll,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "naru-events",
	.fops = &events_fops,
	.mode = 0600,
};

static int __init events_init(void)
{
	int err = register_kretprobe(&probe);

	if (err)
		return err;
	err = misc_register(&device);
	if (err)
		unregister_kretprobe(&probe);
	return err;
}

/* There is no exit: the module stays for as long as the VM. */
module_init(events_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("file events of shared folders");
