// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * repo-lock.c - who reads a chain of a repository, and whether it may go.
 *
 * A lease for writing is granted only on a file that nobody else has open, not
 * even for reading; the kernel counts the openers, in other containers and in
 * the kernel (a loop device) as well.  Network file systems grant none, or
 * refuse for reasons of their own: there /proc tells, of this machine alone.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "chain.h"
#include "file.h"
#include "repo-lock.h"

/* Point, chain: what is deeper is none of ours, and is not looked at. */
#define MAX_DEPTH	3

/* ---- Who has a file open ------------------------------------------------ */

/**
 * struct opened - the files of a chain, and who has one of them open.
 * @nr: number of files that may be open
 * @file: them
 * @is_open: the kernel says that one is; @why has its path
 * @why: result
 * @size: of @why
 */
struct opened {
	unsigned int nr;
	struct opened_file {
		dev_t dev;
		ino_t ino;
		char path[PATH_MAX];
	} *file;
	bool is_open;
	char *why;
	size_t size;
};

/* File systems whose servers grant and refuse leases, or know none. */
static bool is_remote(int fd)
{
	static const unsigned int remote[] = {
		NFS_SUPER_MAGIC, FUSE_SUPER_MAGIC, V9FS_MAGIC, CEPH_SUPER_MAGIC,
		CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, SMB_SUPER_MAGIC,
		AFS_FS_MAGIC, CODA_SUPER_MAGIC,
	};
	struct statfs fs;
	size_t i;

	if (fstatfs(fd, &fs))
		return true;
	for (i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned int)fs.f_type == remote[i])
			return true;
	return false;
}

/* Return: 0 nobody has it open; -EAGAIN somebody has; another: not known. */
static int ask_for_lease(int fd)
{
	int ret;

	/*
	 * Who opens it at this very moment waits for the lease to end, of which a
	 * signal tells: SIGIO would be our end.
	 */
	if (fcntl(fd, F_SETSIG, SIGURG) || fcntl(fd, F_SETLEASE, F_WRLCK))
		ret = errno == EAGAIN && is_remote(fd) ? -EINVAL : -errno;
	else
		ret = fcntl(fd, F_SETLEASE, F_UNLCK) ? -errno : 0;
	return ret;
}

static int suspect(struct opened *o, const char *path, const struct stat *st)
{
	struct opened_file *f;

	f = realloc(o->file, (o->nr + 1) * sizeof(*f));
	if (!f)
		return -ENOMEM;
	o->file = f;
	f += o->nr++;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	snprintf(f->path, sizeof(f->path), "%s", path);
	return 0;
}

static int look_at_file(struct opened *o, const char *path)
{
	int ret = 0, fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW |
				     O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return 0;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		ret = ask_for_lease(fd);
		if (ret == -EAGAIN && !o->is_open) {
			o->is_open = true;
			snprintf(o->why, o->size, "'%s' is open", path);
		}
		if (ret)
			ret = suspect(o, path, &st);
	}
	close(fd);
	return ret;
}

/**
 * struct walk - the way through a directory.
 * @o: what is found
 * @folder: the directory
 * @depth: of it
 */
struct walk {
	struct opened *o;
	const char *folder;
	int depth;
};

static int look_at(struct opened *o, const char *folder, int depth);

static int look_at_entry(void *opaque, const char *name)
{
	const struct walk *w = opaque;
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", w->folder, name) >=
	    (int)sizeof(path) || lstat(path, &st))
		return 0;
	if (S_ISDIR(st.st_mode))
		return w->depth + 1 < MAX_DEPTH ?
		       look_at(w->o, path, w->depth + 1) : 0;
	return S_ISREG(st.st_mode) ? look_at_file(w->o, path) : 0;
}

static int look_at(struct opened *o, const char *folder, int depth)
{
	struct walk w = { o, folder, depth };

	return file_each(folder, look_at_entry, &w);
}

static const struct opened_file *find_file(const struct opened *o,
					   const char *path)
{
	unsigned int i;
	struct stat st;

	if (stat(path, &st))
		return NULL;
	for (i = 0; i < o->nr; i++)
		if (o->file[i].ino == st.st_ino && o->file[i].dev == st.st_dev)
			return &o->file[i];
	return NULL;
}

static void name_process(const char *pid, char *comm, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(comm, (int)size, f))
		comm[0] = '\0';
	comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
}

/* Return: 1 a file is open there, and @o->why says so. */
static int look_at_process(void *opaque, const char *pid)
{
	struct opened *o = opaque;
	char folder[64], path[PATH_MAX], comm[64];
	const struct opened_file *f = NULL;
	struct dirent *e;
	DIR *dir;

	if (!isdigit((unsigned char)pid[0]) || atoi(pid) == getpid())
		return 0;
	snprintf(folder, sizeof(folder), "/proc/%.20s/fd", pid);
	dir = opendir(folder);
	while (dir && !f && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		f = find_file(o, path);
	}
	if (dir)
		closedir(dir);
	if (!f)
		return 0;
	name_process(pid, comm, sizeof(comm));
	snprintf(o->why, o->size, "'%s' is open in process %s (%s)", f->path,
		 pid, comm);
	return 1;
}

/* Return: 0 nobody has one of its files open; -EBUSY with @why, or -errno. */
static int check_unopened(const char *path, char *why, size_t size)
{
	struct opened o = { .why = why, .size = size };
	int ret = look_at(&o, path, 1);

	if (ret)
		snprintf(why, size, "'%s' cannot be read: %s", path,
			 strerror(-ret));
	else if (o.nr && file_each("/proc", look_at_process, &o) == 1)
		ret = -EBUSY;
	else if (o.is_open)
		ret = -EBUSY;
	free(o.file);
	return ret;
}

/* ---- The lock ----------------------------------------------------------- */

static int lock_folder(const char *path, int how)
{
	int ret, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!flock(fd, how | LOCK_NB))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* The last component is cut off.  Return: whether it names a chain or point. */
static bool cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return false;
	*slash = '\0';
	slash = strrchr(path, '/');
	return slash && chain_is_name(slash + 1);
}

int repo_lock_chain(const char *chain, int *lock)
{
	*lock = lock_folder(chain, LOCK_SH);
	if (*lock >= 0)
		return 0;
	if (*lock == -EWOULDBLOCK)
		return -EBUSY;
	*lock = -1;
	return 0;
}

int repo_lock_shared(const char *target, int *lock)
{
	char path[PATH_MAX];

	*lock = -1;
	if (!strncmp(target, "qcow2:", 6))
		target += 6;
	else if (!strncmp(target, "raw:", 4))
		target += 4;
	/* PATH is in a point, the point in a chain. */
	if (!realpath(target, path) || !cut(path) || !cut(path))
		return 0;
	return repo_lock_chain(path, lock);
}

int repo_lock_for_removal(const char *path, const char *chain, char *why,
			  size_t size)
{
	int ret, lock = lock_folder(chain, LOCK_EX);

	if (lock == -EWOULDBLOCK)
		snprintf(why, size, "'%s' is being read", chain);
	else if (lock < 0)
		snprintf(why, size, "'%s' cannot be locked: %s", chain,
			 strerror(-lock));
	if (lock < 0)
		return lock == -EWOULDBLOCK ? -EBUSY : lock;
	ret = check_unopened(path, why, size);
	if (!ret)
		return lock;
	close(lock);
	return ret;
}
