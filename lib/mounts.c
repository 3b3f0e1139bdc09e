// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * mounts.c - what is mounted, in this mount namespace and in the others.
 *
 * The only reader of mountinfo files.  No process changes its namespace: the
 * mounts of another one are reached through /proc/PID/root.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mounts.h"
#include "sysfs.h"

/* ---- Lines -------------------------------------------------------------- */

static bool is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' &&
	       s[2] >= '0' && s[2] <= '7';
}

void dtl_unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && is_octal(s + 1)) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
				       (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* ID PARENT MAJ:MIN ROOT POINT OPTS [TAGS...] - TYPE SOURCE SUPEROPTS */
static bool tear(char *line, struct dtl_mount *m)
{
	char *field[6], *rest, *save = NULL;
	unsigned int maj, min, i;

	line[strcspn(line, "\n")] = '\0';
	rest = strstr(line, " - ");
	if (!rest)
		return false;
	*rest = '\0';
	rest += 3;
	for (i = 0; i < DTL_ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return false;
	}
	if (sscanf(field[2], "%u:%u", &maj, &min) != 2)
		return false;
	m->type = strtok_r(rest, " ", &save);
	m->source = m->type ? strtok_r(NULL, " ", &save) : NULL;
	m->options = m->source ? strtok_r(NULL, " ", &save) : NULL;
	if (!m->options)
		return false;
	m->id = atoi(field[0]);
	m->dev = makedev(maj, min);
	m->point = field[4];
	dtl_unescape(m->point);
	dtl_unescape(m->source);
	return true;
}

bool dtl_mounts_open(struct dtl_mounts *m, const char *pid)
{
	char path[64];

	memset(m, 0, sizeof(*m));
	snprintf(path, sizeof(path), "/proc/%.20s/mountinfo", pid);
	m->file = fopen(path, "re");
	return m->file;
}

bool dtl_mounts_next(struct dtl_mounts *m)
{
	while (getline(&m->line, &m->room, m->file) > 0)
		if (tear(m->line, &m->mount))
			return true;
	return false;
}

void dtl_mounts_close(struct dtl_mounts *m)
{
	free(m->line);
	fclose(m->file);
}

/* A comma in a value is escaped, too: each that is there ends an option. */
char *dtl_mount_option(const struct dtl_mount *m, const char *key)
{
	size_t len = strlen(key);
	const char *p = m->options;
	char *value;

	for (;; p++) {
		if (!strncmp(p, key, len) && p[len] == '=')
			break;
		p = strchr(p, ',');
		if (!p)
			return NULL;
	}
	p += len + 1;
	value = strndup(p, strcspn(p, ","));
	if (value)
		dtl_unescape(value);
	return value;
}

/* ---- Namespaces --------------------------------------------------------- */

void dtl_spaces_open(struct dtl_spaces *s)
{
	memset(s, 0, sizeof(*s));
	s->proc = opendir("/proc");
}

static bool look(const char *pid, struct dtl_space *space)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%.20s/ns/mnt", pid);
	if (stat(path, &st))
		return false;
	space->space = st.st_ino;
	snprintf(path, sizeof(path), "/proc/%.20s/root", pid);
	if (stat(path, &st))
		return false;
	space->root_dev = st.st_dev;
	space->root = st.st_ino;
	return true;
}

static bool is_new(struct dtl_spaces *s, const struct dtl_space *space)
{
	struct dtl_space *more;
	unsigned int i;

	for (i = 0; i < s->nr; i++)
		if (s->seen[i].space == space->space &&
		    s->seen[i].root_dev == space->root_dev &&
		    s->seen[i].root == space->root)
			return false;
	/* Without memory it is looked at again. */
	more = reallocarray(s->seen, s->nr + 1, sizeof(*more));
	if (!more)
		return true;
	s->seen = more;
	s->seen[s->nr++] = *space;
	return true;
}

bool dtl_spaces_next(struct dtl_spaces *s)
{
	struct dtl_space space;
	struct dirent *e;

	if (!s->pid) {
		s->pid = "self";
		if (look(s->pid, &space))
			is_new(s, &space);
		return true;
	}
	while (s->proc && (e = readdir(s->proc))) {
		s->pid = e->d_name;
		if (isdigit((unsigned char)s->pid[0]) && look(s->pid, &space) &&
		    is_new(s, &space))
			return true;
	}
	return false;
}

void dtl_spaces_close(struct dtl_spaces *s)
{
	if (s->proc)
		closedir(s->proc);
	free(s->seen);
}

/* ---- Opening ------------------------------------------------------------ */

void dtl_mount_path(const char *pid, const char *point, char *buf, size_t size)
{
	if (!strcmp(pid, "self"))
		snprintf(buf, size, "%s", point);
	else
		snprintf(buf, size, "/proc/%.20s/root%s", pid, point);
}

void dtl_mount_name(const char *pid, const char *point, char *buf, size_t size)
{
	char path[DTL_PATH_LEN], comm[64];

	if (!strcmp(pid, "self")) {
		snprintf(buf, size, "%s", point);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	if (!dtl_sysfs_line(path, comm, sizeof(comm)))
		snprintf(comm, sizeof(comm), "?");
	snprintf(buf, size, "%s in the mount namespace of process %s (%s)",
		 point, pid, comm);
}

/* A device node or a socket may be mounted on a file, too: leave it alone. */
static int open_again(int fd)
{
	char path[64];
	struct stat st;
	int ret;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ret = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return ret < 0 ? -errno : ret;
}

int dtl_mount_open(const char *pid, const struct dtl_mount *m)
{
	struct statx st = { 0 };
	char path[4200];
	int ret, fd;

	dtl_mount_path(pid, m->point, path, sizeof(path));
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -EXDEV : -errno;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) ||
	    !(st.stx_mask & STATX_MNT_ID))
		ret = -EOPNOTSUPP;
	else if (st.stx_mnt_id != (uint64_t)m->id)
		ret = -EXDEV;
	else
		ret = open_again(fd);
	close(fd);
	return ret;
}
