// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fsfreeze.c - holding file systems still.
 */
#include <ctype.h>
#include <dirent.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "feeds.h"
#include "run.h"
#include "sysfs.h"
#include "users.h"

/**
 * struct place - a mounted file system.
 * @fd: on it, or the errno of opening it
 * @dev: what it is on: a device given, or one on top of that
 * @number: of the file system, as the mount table has it
 * @frozen: by us, as far as this process knows
 * @point: where it is mounted
 */
struct place {
	int fd;
	dev_t dev;
	dev_t number;
	bool frozen;
	char *point;
};

/**
 * struct dtrack_fs - the file systems on some devices.
 * @h: the handle
 * @nr: number of places
 * @place: them
 */
struct dtrack_fs {
	struct dtrack *h;
	unsigned int nr;
	struct place *place;
};

/* ---- Finding ------------------------------------------------------------ */

/**
 * struct search - a search for the file systems on one device.
 * @fs: where they go
 * @covered: devices of its stack that have one
 * @nr: number of them
 * @nomem: one found no room
 */
struct search {
	struct dtrack_fs *fs;
	dev_t covered[DTL_STACK_MAX];
	unsigned int nr;
	bool nomem;
};

static void cover(struct search *s, dev_t dev)
{
	unsigned int i;

	for (i = 0; i < s->nr; i++)
		if (s->covered[i] == dev)
			return;
	if (s->nr < DTL_STACK_MAX)
		s->covered[s->nr++] = dev;
}

/* One may lie on several devices, and be mounted in many places. */
static struct place *known(const struct dtrack_fs *fs, dev_t number)
{
	unsigned int i;

	for (i = 0; i < fs->nr; i++)
		if (fs->place[i].number == number)
			return &fs->place[i];
	return NULL;
}

static struct place *new_place(struct dtrack_fs *fs, dev_t number, dev_t dev)
{
	struct place *more = reallocarray(fs->place, fs->nr + 1, sizeof(*more));

	if (!more)
		return NULL;
	fs->place = more;
	more += fs->nr++;
	*more = (struct place){ .fd = -ENOENT, .number = number, .dev = dev };
	return more;
}

static bool found(void *opaque, const char *pid, const struct dtl_mount *m,
		  dev_t dev)
{
	struct search *s = opaque;
	struct place *p = known(s->fs, m->dev);
	char name[4300];

	cover(s, dev);
	if (p && p->fd >= 0)
		return true;
	if (!p)
		p = new_place(s->fs, m->dev, dev);
	if (p) {
		dtl_mount_name(pid, m->point, name, sizeof(name));
		free(p->point);
		p->point = strdup(name);
		p->fd = dtl_mount_open(pid, m);
	}
	s->nomem = !p || !p->point;
	return !s->nomem;
}

static int not_opened(struct dtrack_fs *fs, const struct place *p)
{
	if (p->fd == -EXDEV)
		return dtl_fail(fs->h, p->fd, NULL,
				"Could not freeze '%s': something else is mounted over it",
				p->point);
	return dtl_fail(fs->h, p->fd, NULL, "Could not open '%s': %s", p->point,
			strerror(-p->fd));
}

/* What cannot be held still must not be promised to be. */
static int check_whole(struct dtrack_fs *fs, struct dtrack_dev dev,
		       const struct dtl_stack *stack, const struct search *s)
{
	char user[DTL_USE_LEN], buf[32];

	if (!dtl_use_beside(fs->h, stack, s->covered, s->nr, user))
		return 0;
	return dtl_fail(fs->h, -EBUSY, NULL,
			"Could not freeze all that uses '%s': no file system is to be seen where it is in use: %s",
			dtl_label(fs->h, dev, buf, sizeof(buf)), user);
}

/* @whole: refuse what is in use otherwise, and what cannot be opened */
static int find(struct dtrack_fs *fs, struct dtrack_dev dev, bool whole)
{
	struct search *s = calloc(1, sizeof(*s));
	struct dtl_stack stack;
	unsigned int i;
	int ret = 0;

	if (!s)
		return dtl_nomem(fs->h);
	s->fs = fs;
	dtl_stack_find(&stack, dtl_dev_t(dev));
	dtl_stack_mounts(&stack, found, s);
	if (s->nomem)
		ret = dtl_nomem(fs->h);
	for (i = 0; !ret && whole && i < fs->nr; i++)
		if (fs->place[i].fd < 0)
			ret = not_opened(fs, &fs->place[i]);
	if (!ret && whole)
		ret = check_whole(fs, dev, &stack, s);
	free(s);
	return ret;
}

/* Freezing the second would wait for the first, for ever. */
static int check_apart(struct dtrack_fs *fs)
{
	unsigned int i, k;
	int ret;

	for (i = 0; i < fs->nr; i++)
		for (k = 0; k < fs->nr; k++) {
			const struct place *p = &fs->place[i];
			const struct place *q = &fs->place[k];
			struct dtrack_dev dev = { major(p->dev),
						  minor(p->dev) };

			ret = i == k ? 0 : dtl_check_feeds(fs->h, dev, q->fd,
							   q->point);
			if (ret)
				return dtl_fail(fs->h, ret, NULL,
						"Could not freeze '%s' and '%s': one lies on the other",
						p->point, q->point);
		}
	return 0;
}

static int find_all(struct dtrack *h, const struct dtrack_dev *devs,
		    unsigned int nr, bool whole, struct dtrack_fs **result)
{
	struct dtrack_fs *fs = calloc(1, sizeof(*fs));
	unsigned int i;
	int ret = 0;

	if (!fs)
		return dtl_nomem(h);
	fs->h = h;
	for (i = 0; !ret && i < nr; i++)
		ret = find(fs, devs[i], whole);
	if (!ret && whole)
		ret = check_apart(fs);
	if (ret)
		dtrack_fs_free(fs);
	else
		*result = fs;
	return ret;
}

int dtrack_fs_new(struct dtrack *h, const struct dtrack_dev *devs,
		  unsigned int nr, struct dtrack_fs **result)
{
	return find_all(h, devs, nr, true, result);
}

int dtl_fs_find(struct dtrack *h, const struct dtrack_dev *devs,
		unsigned int nr, struct dtrack_fs **result)
{
	return find_all(h, devs, nr, false, result);
}

int *dtl_fs_files(const struct dtrack_fs *fs, unsigned int *nr)
{
	int *files = calloc(fs->nr + 1, sizeof(*files));
	unsigned int i;

	*nr = 0;
	for (i = 0; files && i < fs->nr; i++)
		if (fs->place[i].fd >= 0)
			files[(*nr)++] = fs->place[i].fd;
	return files;
}

void dtrack_fs_free(struct dtrack_fs *fs)
{
	unsigned int i;

	if (!fs)
		return;
	for (i = 0; i < fs->nr; i++) {
		dtl_close(fs->place[i].fd);
		free(fs->place[i].point);
	}
	free(fs->place);
	free(fs);
}

/* ---- Freezing ----------------------------------------------------------- */

/* The other way round.  All are tried; what is not frozen need not be. */
int dtrack_fs_thaw(struct dtrack_fs *fs)
{
	unsigned int i = fs->nr;
	int ret = 0;

	while (i--) {
		struct place *p = &fs->place[i];

		if (ioctl(p->fd, FITHAW, 0) && (errno != EINVAL || p->frozen))
			ret = dtl_fail(fs->h, -errno, NULL,
				       "Could not thaw '%s': %s", p->point,
				       errno == EINVAL ?
				       "somebody else has thawed it" :
				       strerror(errno));
		p->frozen = false;
	}
	return ret;
}

/*
 * The first @nr, in vain: @err has words.  One that somebody else has frozen stays
 * as it is.
 */
static int take_back(struct dtrack_fs *fs, unsigned int nr, int err)
{
	const struct place *stuck = NULL;
	struct dtl_error why;

	while (nr--) {
		if (ioctl(fs->place[nr].fd, FITHAW, 0))
			stuck = &fs->place[nr];
		fs->place[nr].frozen = false;
	}
	if (!stuck)
		return err;
	dtl_error_save(fs->h, &why);
	return dtl_fail(fs->h, err, why.cls,
			"%s; and '%s' could not be thawed", why.msg,
			stuck->point);
}

static bool has_open(const char *pid, const struct stat *place)
{
	char path[DTL_PATH_LEN];
	bool found = false;
	struct dirent *e;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid,
			 e->d_name);
		found = e->d_name[0] != '.' && !stat(path, &st) &&
			st.st_dev == place->st_dev &&
			st.st_ino == place->st_ino;
	}
	closedir(dir);
	return found;
}

static bool is_dtrack(const char *pid)
{
	char path[DTL_PATH_LEN], comm[64];

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	return dtl_sysfs_line(path, comm, sizeof(comm)) &&
	       !strcmp(comm, "dtrack");
}

/*
 * The kernel does not know who has frozen a file system.  Another dtrack has it
 * open meanwhile, fsfreeze(8) has not.
 */
static void who_froze(const struct place *p, char *buf, size_t size)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	struct stat st;

	snprintf(buf, size, "it is not known by whom");
	if (!dir)
		return;
	while (!fstat(p->fd, &st) && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    atoi(e->d_name) == getpid() ||
		    atoi(e->d_name) == getppid() || !is_dtrack(e->d_name) ||
		    !has_open(e->d_name, &st))
			continue;
		snprintf(buf, size, "by process %.20s (dtrack)", e->d_name);
		break;
	}
	closedir(dir);
}

static int is_frozen_already(struct dtrack_fs *fs, const struct place *p)
{
	char who[64];

	who_froze(p, who, sizeof(who));
	return dtl_fail(fs->h, -EBUSY, NULL,
			"Could not freeze '%s': it is frozen already, %s",
			p->point, who);
}

static int freeze_one(struct dtrack_fs *fs, struct place *p)
{
	bool failed = ioctl(p->fd, FIFREEZE, 0);

	if (failed && errno == EBUSY)
		return is_frozen_already(fs, p);
	if (failed)
		return dtl_fail(fs->h, -errno, NULL,
				"Could not freeze '%s': %s", p->point,
				strerror(errno));
	p->frozen = true;
	return 0;
}

int dtrack_fs_freeze_while(struct dtrack_fs *fs, int (*may)(void *opaque),
			   void *opaque)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < fs->nr; i++) {
		if (may(opaque))
			ret = freeze_one(fs, &fs->place[i]);
		else
			ret = dtl_fail(fs->h, -ETIMEDOUT, NULL,
				       "Could not freeze '%s': it took too long",
				       fs->place[i].point);
		if (ret)
			ret = take_back(fs, i, ret);
	}
	return ret;
}

static int always(void *opaque)
{
	(void)opaque;
	return 1;
}

int dtrack_fs_freeze(struct dtrack_fs *fs)
{
	return dtrack_fs_freeze_while(fs, always, NULL);
}

static int call_held(struct dtrack_fs *fs, int (*call)(void *opaque),
		     void *opaque)
{
	struct dtl_error first;
	int thawed, ret = dtrack_fs_freeze(fs);

	if (ret)
		return ret;
	ret = call(opaque);
	dtl_error_save(fs->h, &first);
	thawed = dtrack_fs_thaw(fs);
	if (!ret)
		return thawed;
	dtl_error_restore(fs->h, &first);
	return ret;
}

int dtl_fsfreeze(struct dtrack *h, const struct dtrack_dev *devs,
		 unsigned int nr, int (*call)(void *opaque), void *opaque)
{
	struct dtrack_fs *fs;
	sigset_t all, old;
	int ret = dtrack_fs_new(h, devs, nr, &fs);

	if (ret)
		return ret;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = call_held(fs, call, opaque);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	dtrack_fs_free(fs);
	return ret;
}
