// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mock.c - a kernel that gives canned replies, for tests without a module.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <libkmod.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/dm-dirtytrack.h>

#include "ioctl-names.h"
#include "mock.h"

#define MAX		64
/* No real device has it. */
#define MOCK_MAJOR	4001
#define CONTROL		"/dev/" DTRACK_DEVICE
#define NODES		"/dev/mock/"
#define UEVENT		"/sys/dev/block/4001:"

struct device {
	struct dtrack_dev dev;
	uint64_t size;
	struct dtrack_dev lower;
	uint64_t lower_start;
	struct dtrack_writes writes;
};

struct bitmap {
	struct dtrack_dev dev;
	struct dtrack_bitmap_info info;
};

struct failure {
	char name[16];
	int err;
	int skip;
	int left;
};

struct then {
	unsigned int at;
	char key[32];
	char value[64];
};

struct dm_device {
	struct dtrack_dev dev;
	char name[64];
	char type[32];
	char state[16];
	char params[128];
};

static struct {
	bool ready;
	int open_err;
	int kmod_err;
	unsigned int abi;
	unsigned int nr_devs, nr_bitmaps, nr_extents, nr_failures;
	unsigned int nr_thens, nr_infos, nr_dms;
	unsigned int piece;
	unsigned int blame;
	unsigned int nr_runs;
	uint64_t runs[MAX];
	uint64_t step;
	unsigned int slow;
	struct device devs[MAX];
	struct bitmap bitmaps[MAX];
	struct dtrack_range extents[MAX];
	struct dtrack_dev extents_of[MAX];
	struct failure failures[MAX];
	struct then thens[MAX];
	struct dm_device dms[MAX];
	char swap[64];
	char root[1024];
	char keep[1024];
	unsigned int next_uuid;
	char file[16][4096];
	char log[65536];
	int control;
} m;

/* One ioctl, one line of the log at a time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- The script --------------------------------------------------------- */

static void die(const char *line)
{
	fprintf(stderr, "mock: bad line '%s'\n", line);
	abort();
}

static int errno_of(const char *name)
{
	static const struct {
		const char *name;
		int err;
	} names[] = {
#define E(x) { #x, x }
		E(EACCES), E(EPERM), E(ENOTTY), E(E2BIG), E(EFAULT), E(EINVAL),
		E(EOPNOTSUPP), E(ENODEV), E(ENOENT), E(EEXIST), E(EBUSY),
		E(ENODATA), E(ESTALE), E(ERANGE), E(EROFS), E(EUCLEAN),
		E(EMSGSIZE), E(EOVERFLOW), E(ENOMEM), E(EINTR), E(EIO), E(ENXIO),
		E(ECANCELED),
#undef E
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i].name))
			return names[i].err;
	die(name);
	return 0;
}

static struct dtrack_dev parse_dev(const char *text)
{
	struct dtrack_dev dev;

	if (sscanf(text, "%u:%u", &dev.major, &dev.minor) != 2)
		die(text);
	return dev;
}

static bool same(struct dtrack_dev a, struct dtrack_dev b)
{
	return a.major == b.major && a.minor == b.minor;
}

static void set_key(struct dtrack_bitmap_info *b, const char *key,
		    const char *value)
{
	uint64_t n = strtoull(value, NULL, 0);

	if (!strcmp(key, "granularity"))
		b->granularity = n;
	else if (!strcmp(key, "generation"))
		b->generation = n;
	else if (!strcmp(key, "count"))
		b->count = n;
	else if (!strcmp(key, "successor"))
		b->successor_count = n;
	else if (!strcmp(key, "full-leaves"))
		b->full_leaves = n;
	else if (!strcmp(key, "last-run"))
		b->last_run = n;
	else if (!strcmp(key, "run"))
		b->run = n;
	else if (!strcmp(key, "size"))
		b->device_size = n;
	else if (!strcmp(key, "flags"))
		b->flags = (uint32_t)n;
	else if (!strcmp(key, "pid"))
		b->owner_pid = (uint32_t)n;
	else if (!strcmp(key, "since"))
		b->owner_since = n;
	else if (!strcmp(key, "bytes"))
		b->bytes = n;
	else if (!strcmp(key, "uuid"))
		memset(b->uuid, (int)n, sizeof(b->uuid));
	else if (!strcmp(key, "comm"))
		snprintf((char *)b->owner_comm, sizeof(b->owner_comm), "%s",
			 value);
	else
		die(key);
}

static const struct device *device(struct dtrack_dev dev)
{
	unsigned int i;

	for (i = 0; i < m.nr_devs; i++)
		if (same(m.devs[i].dev, dev))
			return &m.devs[i];
	return NULL;
}

static void add_bitmap(char **word, int nr)
{
	struct bitmap *b = &m.bitmaps[m.nr_bitmaps++];
	const struct device *d;
	char *value;
	int i;

	b->dev = parse_dev(word[1]);
	d = device(b->dev);
	if (!d)
		die(word[1]);
	snprintf((char *)b->info.name, sizeof(b->info.name), "%s", word[2]);
	b->info.device_size = d->size;
	b->info.bytes = d->size;
	b->info.granularity = 65536;
	b->info.generation = 1;
	b->info.flags = DTRACK_BITMAP_RECORDING;
	for (i = 3; i < nr; i++) {
		value = strchr(word[i], '=');
		if (!value)
			die(word[i]);
		*value++ = '\0';
		set_key(&b->info, word[i], value);
	}
}

static void add_then(char **word)
{
	struct then *t = &m.thens[m.nr_thens++];
	char *value = strchr(word[2], '=');

	if (!value)
		die(word[2]);
	*value++ = '\0';
	t->at = (unsigned int)atoi(word[1]);
	snprintf(t->key, sizeof(t->key), "%s", word[2]);
	snprintf(t->value, sizeof(t->value), "%s", value);
}

static struct failure *failure(const char *name)
{
	unsigned int i;

	for (i = 0; i < m.nr_failures; i++)
		if (!strcmp(m.failures[i].name, name))
			return &m.failures[i];
	snprintf(m.failures[i].name, sizeof(m.failures[i].name), "%s", name);
	m.failures[i].left = -1;
	m.nr_failures++;
	return &m.failures[i];
}

static void add_writes(char **word)
{
	struct dtrack_dev dev = parse_dev(word[1]);
	struct dtrack_tally *t[4];
	struct dtrack_writes *w;
	unsigned int i;

	for (i = 0; i < m.nr_devs && !same(m.devs[i].dev, dev); i++)
		;
	w = &m.devs[i].writes;
	t[0] = &w->writes;
	t[1] = &w->discards;
	t[2] = &w->zeroes;
	t[3] = &w->others;
	for (i = 0; i < 4; i++) {
		t[i]->nr = strtoull(word[2 + 2 * i], NULL, 0);
		t[i]->bytes = strtoull(word[3 + 2 * i], NULL, 0);
	}
	w->idle = strtoull(word[10], NULL, 0);
}

static void add_dm(char **word, int nr)
{
	struct dm_device *d = &m.dms[m.nr_dms++];
	int i;

	d->dev = parse_dev(word[1]);
	snprintf(d->name, sizeof(d->name), "%s", word[2]);
	snprintf(d->type, sizeof(d->type), "%s", word[3]);
	snprintf(d->state, sizeof(d->state), "%s", nr > 4 ? word[4] : "-");
	for (i = 5; i < nr; i++)
		snprintf(d->params + strlen(d->params),
			 sizeof(d->params) - strlen(d->params), "%s%s",
			 i > 5 ? " " : "", word[i]);
}

static void take_line(char *line)
{
	char *word[32], *save = NULL;
	int nr = 0;

	for (word[0] = strtok_r(line, " ", &save); word[nr] && nr < 31;
	     word[++nr] = strtok_r(NULL, " ", &save))
		;
	if (!nr || word[0][0] == '#')
		return;
	if (!strcmp(word[0], "OPEN") && nr == 2) {
		m.open_err = errno_of(word[1]);
	} else if (!strcmp(word[0], "KMOD") && nr == 2) {
		m.kmod_err = errno_of(word[1]);
	} else if (!strcmp(word[0], "ABI") && nr == 2) {
		m.abi = (unsigned int)atoi(word[1]);
	} else if (!strcmp(word[0], "DEV") && nr >= 3) {
		struct device *d = &m.devs[m.nr_devs++];

		d->dev = parse_dev(word[1]);
		d->size = strtoull(word[2], NULL, 0);
		if (nr > 3)
			d->lower = parse_dev(word[3]);
		if (nr > 4)
			d->lower_start = strtoull(word[4], NULL, 0);
	} else if (!strcmp(word[0], "BITMAP") && nr >= 3) {
		add_bitmap(word, nr);
	} else if (!strcmp(word[0], "EXTENT") && (nr == 3 || nr == 4)) {
		if (m.nr_extents == MAX)
			die("EXTENT: too many");
		if (nr == 4)
			m.extents_of[m.nr_extents] = parse_dev(word[3]);
		m.extents[m.nr_extents++] = (struct dtrack_range){
			strtoull(word[1], NULL, 0), strtoull(word[2], NULL, 0)
		};
	} else if (!strcmp(word[0], "THEN") && nr == 3) {
		add_then(word);
	} else if (!strcmp(word[0], "PIECE") && nr == 2) {
		m.piece = (unsigned int)atoi(word[1]);
	} else if (!strcmp(word[0], "SWAP") && nr == 2) {
		snprintf(m.swap, sizeof(m.swap), "%s", word[1]);
	} else if (!strcmp(word[0], "BLAME") && nr == 2) {
		m.blame = (unsigned int)atoi(word[1]);
	} else if (!strcmp(word[0], "STEP") && nr == 2) {
		m.step = strtoull(word[1], NULL, 0);
	} else if (!strcmp(word[0], "FAIL") && nr >= 3) {
		failure(word[1])->err = errno_of(word[2]);
		failure(word[1])->left = nr > 3 ? atoi(word[3]) : -1;
	} else if (!strcmp(word[0], "SKIP") && nr == 3) {
		failure(word[1])->skip = atoi(word[2]);
	} else if (!strcmp(word[0], "FILE") && nr >= 2) {
		int at = nr > 2 ? atoi(word[2]) : 0;

		if (at < 0 || at >= 16)
			die(word[2]);
		snprintf(m.file[at], sizeof(m.file[at]), "%s", word[1]);
	} else if (!strcmp(word[0], "WRITES") && nr == 11) {
		add_writes(word);
	} else if (!strcmp(word[0], "DM") && nr >= 4) {
		add_dm(word, nr);
	} else if (!strcmp(word[0], "KEEP") && nr == 3) {
		snprintf(m.keep, sizeof(m.keep), "%s", word[1]);
		m.next_uuid = (unsigned int)atoi(word[2]);
	} else if (!strcmp(word[0], "SLOW") && nr == 2) {
		m.slow = (unsigned int)atoi(word[1]);
	} else if (!strcmp(word[0], "ROOT") && nr == 2) {
		snprintf(m.root, sizeof(m.root), "%s", word[1]);
	} else {
		die(word[0]);
	}
}

void mock_script(const char *text)
{
	char *copy = strdup(text), *line, *save = NULL;

	memset(&m, 0, sizeof(m));
	m.ready = true;
	m.abi = DTRACK_ABI_VERSION;
	m.piece = UINT32_MAX;
	m.blame = UINT32_MAX;
	m.step = UINT64_MAX;
	m.control = -1;
	for (line = strtok_r(copy, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		take_line(line);
	free(copy);
}

const char *mock_log(void)
{
	return m.log;
}

static void *real(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	if (!fn)
		abort();
	return fn;
}

static void load(void)
{
	static char text[65536];
	const char *path = getenv("DTR_MOCK");
	ssize_t n = 0;
	int (*open_real)(const char *, int, ...);
	int fd;

	if (m.ready)
		return;
	m.ready = true;
	if (path) {
		*(void **)&open_real = real("open");
		fd = open_real(path, O_RDONLY | O_CLOEXEC);
		n = read(fd, text, sizeof(text) - 1);
		if (n < 0)
			abort();
		close(fd);
	}
	text[n] = '\0';
	mock_script(text);
}

__attribute__((format(printf, 1, 2)))
static void note(const char *fmt, ...)
{
	const char *path = getenv("DTR_MOCK_LOG");
	size_t used = strlen(m.log);
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(m.log + used, sizeof(m.log) - used, fmt, ap);
	va_end(ap);
	if (!path)
		return;
	f = fopen(path, "ae");
	if (!f)
		abort();
	fputs(m.log + used, f);
	fclose(f);
}

/* ---- The ioctls --------------------------------------------------------- */

static int fail(int err)
{
	errno = err;
	return -1;
}

static struct bitmap *bitmap(struct dtrack_dev dev, const __u8 *name)
{
	unsigned int i;

	for (i = 0; i < m.nr_bitmaps; i++)
		if (same(m.bitmaps[i].dev, dev) &&
		    !strcmp((const char *)m.bitmaps[i].info.name,
			    (const char *)name))
			return &m.bitmaps[i];
	return NULL;
}

/* ---- A kernel that does as it says -------------------------------------- */

static bool is_of(unsigned int extent, struct dtrack_dev dev)
{
	return !m.extents_of[extent].major || same(m.extents_of[extent], dev);
}

static void clean(struct dtrack_dev dev)
{
	unsigned int i, nr = 0;

	for (i = 0; i < m.nr_extents; i++) {
		if (is_of(i, dev))
			continue;
		m.extents[nr] = m.extents[i];
		m.extents_of[nr++] = m.extents_of[i];
	}
	m.nr_extents = nr;
}

static void step(struct bitmap *b)
{
	b->info.generation++;
	clean(b->dev);
}

static bool changes(unsigned long cmd)
{
	switch (cmd) {
	case DTRACK_IOC_ADD:
	case DTRACK_IOC_REMOVE:
	case DTRACK_IOC_ENABLE:
	case DTRACK_IOC_CLEAR:
	case DTRACK_IOC_DISABLE:
	case DTRACK_IOC_ABDICATE:
	case DTRACK_IOC_TRANSACTION:
		return true;
	default:
		return false;
	}
}

/* For the next process's script; what is busy is so as long as this one lives. */
static void store(void)
{
	char temp[sizeof(m.keep) + 8];
	const struct bitmap *b;
	unsigned int i;
	FILE *f;

	snprintf(temp, sizeof(temp), "%s.new", m.keep);
	f = fopen(temp, "we");
	if (!f)
		abort();
	for (i = 0; i < m.nr_bitmaps; i++) {
		b = &m.bitmaps[i];
		fprintf(f,
			"BITMAP %u:%u %s uuid=%u generation=%llu granularity=%llu last-run=%llu flags=%u\n",
			b->dev.major, b->dev.minor, b->info.name,
			b->info.uuid[0], b->info.generation,
			b->info.granularity, b->info.last_run,
			b->info.flags & ~(unsigned int)DTRACK_BITMAP_BUSY);
	}
	for (i = 0; i < m.nr_extents; i++)
		fprintf(f, "EXTENT %llu %llu %u:%u\n", m.extents[i].start,
			m.extents[i].length, m.extents_of[i].major,
			m.extents_of[i].minor);
	fprintf(f, "KEEP %s %u\n", m.keep, m.next_uuid);
	if (fclose(f) || rename(temp, m.keep))
		abort();
}

/* Ids are drawn at random: the log has their number. */
static unsigned int run_number(uint64_t run)
{
	unsigned int i;

	for (i = 0; i < m.nr_runs; i++)
		if (m.runs[i] == run)
			return i + 1;
	return run ? 999 : 0;
}

static int do_version(struct dtrack_ioc_version *io)
{
	io->out_abi = m.abi;
	io->out_max_bitmaps = DTRACK_MAX_BITMAPS;
	return 0;
}

static int do_list(struct dtrack_ioc_list *io)
{
	struct dtrack_dev *devs = (void *)(uintptr_t)io->devs;
	unsigned int i, room = io->nr;

	io->nr = m.nr_devs;
	if (room < m.nr_devs)
		return fail(EMSGSIZE);
	for (i = 0; i < m.nr_devs; i++)
		devs[i] = m.devs[i].dev;
	return 0;
}

static bool wanted(const struct bitmap *b, const struct dtrack_ioc_info *io)
{
	return same(b->dev, io->dev) &&
	       (!io->name[0] || !strcmp((const char *)b->info.name,
					(const char *)io->name));
}

static void then_bitmaps(void)
{
	unsigned int i, k;

	m.nr_infos++;
	for (i = 0; i < m.nr_thens; i++)
		for (k = 0; k < m.nr_bitmaps && m.thens[i].at == m.nr_infos; k++)
			set_key(&m.bitmaps[k].info, m.thens[i].key,
				m.thens[i].value);
}

static int do_info(struct dtrack_ioc_info *io)
{
	struct dtrack_bitmap_info *out = (void *)(uintptr_t)io->infos;
	const struct device *d = device(io->dev);
	unsigned int i, nr = 0, room = io->nr;

	if (!d)
		return fail(ENODEV);
	if (io->entry_size != sizeof(*out))
		abort();
	then_bitmaps();
	io->out_device_size = d->size;
	io->out_lower = d->lower;
	io->out_lower_start = d->lower_start;
	io->out_writes = d->writes;
	for (i = 0; i < m.nr_bitmaps; i++) {
		if (!wanted(&m.bitmaps[i], io))
			continue;
		if (nr < room)
			out[nr] = m.bitmaps[i].info;
		nr++;
	}
	io->nr = nr;
	if (io->name[0] && !nr)
		return fail(ENOENT);
	return nr > room ? fail(EMSGSIZE) : 0;
}

/* It stays; what was not asked for is as in a script. */
static int do_add(struct dtrack_ioc_add *io)
{
	char dev[32], name[DTRACK_NAME_LEN];
	char *word[] = { dev, dev, name };
	struct dtrack_bitmap_info *info;

	note(" %s granularity=%llu flags=%u", io->name, io->granularity,
	     io->flags);
	if (bitmap(io->dev, io->name))
		return fail(EEXIST);
	if (m.nr_bitmaps == MAX)
		abort();
	snprintf(dev, sizeof(dev), "%u:%u", io->dev.major, io->dev.minor);
	memcpy(name, io->name, sizeof(name));
	add_bitmap(word, 3);
	info = &m.bitmaps[m.nr_bitmaps - 1].info;
	memset(info->uuid, m.keep[0] ? (int)m.next_uuid++ : 0xcc,
	       sizeof(info->uuid));
	if (m.keep[0])
		clean(io->dev);
	memcpy(io->out_uuid, info->uuid, sizeof(info->uuid));
	return 0;
}

static int do_bitmap(struct dtrack_ioc_bitmap *io)
{
	note(" %s", io->name);
	return bitmap(io->dev, io->name) ? 0 : fail(ENOENT);
}

static int do_remove(struct dtrack_ioc_bitmap *io)
{
	struct bitmap *b = bitmap(io->dev, io->name);

	if (do_bitmap(io))
		return -1;
	m.nr_bitmaps--;
	memmove(b, b + 1, (size_t)(&m.bitmaps[m.nr_bitmaps] - b) * sizeof(*b));
	return 0;
}

static int do_enable(struct dtrack_ioc_bitmap *io)
{
	if (do_bitmap(io))
		return -1;
	bitmap(io->dev, io->name)->info.flags |= DTRACK_BITMAP_RECORDING;
	return 0;
}

static int do_merge(struct dtrack_ioc_merge *io)
{
	const struct dtrack_source *s = (void *)(uintptr_t)io->sources;
	unsigned int i;

	note(" %s <-", io->name);
	for (i = 0; i < io->nr; i++)
		note(" %u:%u:%s", s[i].dev.major, s[i].dev.minor, s[i].name);
	for (i = 0; i < io->nr; i++)
		if (!bitmap(s[i].dev, s[i].name))
			return fail(ENOENT);
	return bitmap(io->dev, io->name) ? 0 : fail(ENOENT);
}

static int do_freeze(struct dtrack_ioc_freeze *io)
{
	struct bitmap *b = bitmap(io->dev, io->name);

	note(" %s mode=%u set=%u flags=%u", io->name, io->mode, io->set,
	     io->flags);
	if (!b)
		return fail(ENOENT);
	if (!io->out_run)
		io->out_run = m.nr_runs + 1;
	if (m.nr_runs == MAX)
		abort();
	m.runs[m.nr_runs++] = io->out_run;
	io->out_generation = b->info.generation;
	return 0;
}

static int do_end(struct dtrack_ioc_end *io, bool abdicate)
{
	struct bitmap *b = bitmap(io->dev, io->name);

	note(" %s run=%u flags=%u", io->name, run_number(io->run), io->flags);
	if (!b)
		return fail(ENOENT);
	io->out_generation = b->info.generation + abdicate;
	if (m.keep[0] && abdicate) {
		step(b);
		b->info.last_run = io->run;
	}
	return 0;
}

static int do_report(struct dtrack_ioc_report *io)
{
	const struct dtrack_range *r = (void *)(uintptr_t)io->ranges;
	unsigned int i;

	note(" %s run=%u", io->name, run_number(io->run));
	for (i = 0; i < io->nr; i++)
		note(" %llu+%llu", r[i].start, r[i].length);
	return bitmap(io->dev, io->name) ? 0 : fail(ENOENT);
}

/* Extents from the cursor on, cut where the script says. */
static int do_extents(struct dtrack_ioc_extents *io)
{
	struct dtrack_range *out = (void *)(uintptr_t)io->ranges;
	struct bitmap *b = bitmap(io->dev, io->name);
	unsigned int i, nr = 0, room = io->nr < m.piece ? io->nr : m.piece;
	uint64_t start, end, stop;

	note(" %s cursor=%llu generation=%llu", io->name, io->cursor,
	     io->generation);
	if (!b)
		return fail(ENOENT);
	if (io->generation && io->generation != b->info.generation)
		return fail(ESTALE);
	stop = b->info.bytes;
	if (m.step < stop - io->cursor)
		stop = io->cursor + m.step;
	for (i = 0; i < m.nr_extents; i++) {
		if (!is_of(i, io->dev))
			continue;
		start = m.extents[i].start;
		end = start + m.extents[i].length;
		start = start > io->cursor ? start : io->cursor;
		end = end < stop ? end : stop;
		if (start >= end)
			continue;
		if (nr == room) {
			stop = start;
			break;
		}
		out[nr++] = (struct dtrack_range){ start, end - start };
	}
	io->cursor = stop;
	io->nr = nr;
	io->generation = b->info.generation;
	return 0;
}

static bool chunk_is_valid(const struct dtrack_ioc_bits *io,
			   const struct dtrack_bitmap_info *b)
{
	uint64_t byte = 8 * b->granularity;

	return io->start <= b->bytes && io->length <= b->bytes - io->start &&
	       io->start % byte == 0 &&
	       (io->length % byte == 0 || io->start + io->length == b->bytes) &&
	       io->length <= DTRACK_MAX_CHUNK * byte;
}

/* Granules of the extents. */
static int do_bits_get(struct dtrack_ioc_bits *io)
{
	unsigned char *out = (void *)(uintptr_t)io->buffer;
	struct bitmap *b = bitmap(io->dev, io->name);
	uint64_t g, at, nr;
	unsigned int i;

	note(" %s start=%llu length=%llu generation=%llu", io->name, io->start,
	     io->length, io->generation);
	if (!b)
		return fail(ENOENT);
	if (io->generation && io->generation != b->info.generation)
		return fail(ESTALE);
	if (!io->length || !chunk_is_valid(io, &b->info))
		return fail(EINVAL);
	g = b->info.granularity;
	nr = (io->length + g - 1) / g;
	memset(out, 0, (nr + 7) / 8);
	for (i = 0; i < m.nr_extents; i++)
		for (at = m.extents[i].start / g;
		     at * g < m.extents[i].start + m.extents[i].length; at++)
			if (at >= io->start / g && at < io->start / g + nr)
				out[(at - io->start / g) / 8] |=
					1 << (at - io->start / g) % 8;
	io->generation = b->info.generation;
	return 0;
}

static int do_bits_load(struct dtrack_ioc_bits *io)
{
	const unsigned char *in = (void *)(uintptr_t)io->buffer;
	struct bitmap *b = bitmap(io->dev, io->name);
	uint64_t first, k, nr;

	note(" %s flags=%u start=%llu length=%llu", io->name, io->flags,
	     io->start, io->length);
	if (!b)
		return fail(ENOENT);
	if (!chunk_is_valid(io, &b->info))
		return fail(EINVAL);
	nr = (io->length + b->info.granularity - 1) / b->info.granularity;
	for (k = 0; k < nr; k++) {
		for (first = k; k < nr && in[k / 8] >> k % 8 & 1; k++)
			;
		if (k > first)
			note(" %llu+%llu",
			     io->start + first * b->info.granularity,
			     (unsigned long long)((k - first) *
						  b->info.granularity));
	}
	return 0;
}

/* ---- Transactions ------------------------------------------------------- */

/* Later actions see what earlier ones did; a frozen one is busy to its end. */
static int add_within(struct dtrack_action *a)
{
	struct dtrack_ioc_add io = {
		.flags = a->flags, .dev = a->dev, .granularity = a->granularity,
	};

	memcpy(io.name, a->name, sizeof(io.name));
	if (do_add(&io))
		return -1;
	memcpy(a->uuid, io.out_uuid, sizeof(a->uuid));
	return 0;
}

static int freeze_within(struct dtrack_action *a)
{
	struct dtrack_ioc_freeze io = {
		.flags = a->flags, .dev = a->dev, .mode = a->mode,
		.set = a->set, .out_run = a->run,
	};

	const struct bitmap *b = bitmap(a->dev, a->name);

	memcpy(io.name, a->name, sizeof(io.name));
	if (b && a->generation && a->generation != b->info.generation)
		return fail(ESTALE);
	if (do_freeze(&io))
		return -1;
	a->run = io.out_run;
	a->generation = io.out_generation;
	bitmap(a->dev, a->name)->info.flags |= DTRACK_BITMAP_BUSY;
	return 0;
}

static int end_within(struct dtrack_action *a)
{
	struct dtrack_ioc_end io = {
		.flags = a->flags, .dev = a->dev, .run = a->run,
	};

	memcpy(io.name, a->name, sizeof(io.name));
	if (do_end(&io, a->type == DTRACK_ACTION_ABDICATE))
		return -1;
	a->generation = io.out_generation;
	return 0;
}

static int merge_within(struct dtrack_action *a)
{
	struct dtrack_ioc_merge io = {
		.dev = a->dev, .nr = a->nr, .sources = a->sources,
	};

	memcpy(io.name, a->name, sizeof(io.name));
	return do_merge(&io);
}

static int change_within(struct dtrack_action *a)
{
	struct dtrack_ioc_bitmap io = { .dev = a->dev };
	struct bitmap *b = bitmap(a->dev, a->name);

	memcpy(io.name, a->name, sizeof(io.name));
	if (do_bitmap(&io))
		return -1;
	if (b->info.flags & DTRACK_BITMAP_BUSY)
		return fail(EBUSY);
	switch (a->type) {
	case DTRACK_ACTION_REMOVE:
		b->info.flags |= DTRACK_BITMAP_BUSY;
		break;
	case DTRACK_ACTION_ENABLE:
		b->info.flags |= DTRACK_BITMAP_RECORDING;
		break;
	case DTRACK_ACTION_CLEAR:
		b->info.generation++;
		if (m.keep[0])
			clean(b->dev);
		break;
	default:
		if (b->info.flags & DTRACK_BITMAP_RECORDING)
			b->info.generation++;
		b->info.flags &= ~(unsigned int)DTRACK_BITMAP_RECORDING;
		break;
	}
	return 0;
}

static int do_action(struct dtrack_action *a)
{
	static const char *const names[] = {
		"ABORT",  "ADD",   "REMOVE", "CLEAR",    "ENABLE",
		"DISABLE", "MERGE", "FREEZE", "ABDICATE", "RECLAIM",
	};

	note(" %s", names[a->type]);
	switch (a->type) {
	case DTRACK_ACTION_ABORT:
		return fail(ECANCELED);
	case DTRACK_ACTION_ADD:
		return add_within(a);
	case DTRACK_ACTION_MERGE:
		return merge_within(a);
	case DTRACK_ACTION_FREEZE:
		return freeze_within(a);
	case DTRACK_ACTION_ABDICATE:
	case DTRACK_ACTION_RECLAIM:
		return end_within(a);
	default:
		return change_within(a);
	}
}

static bool told_to_fail(const char *name)
{
	unsigned int i;

	for (i = 0; i < m.nr_failures; i++) {
		struct failure *f = &m.failures[i];

		if (strcmp(f->name, name) || !f->err || !f->left)
			continue;
		if (f->skip) {
			f->skip--;
			continue;
		}
		if (f->left > 0)
			f->left--;
		errno = f->err;
		return true;
	}
	return false;
}

/* Somebody else is faster. */
static void swap(void)
{
	char *value = strchr(m.swap, '=');

	if (!value)
		return;
	*value++ = '\0';
	set_key(&m.bitmaps[0].info, m.swap, value);
	m.swap[0] = '\0';
}

static int do_transaction(struct dtrack_ioc_transaction *io)
{
	struct dtrack_action *actions = (void *)(uintptr_t)io->actions;
	static struct dtrack_dev extents_of[MAX];
	static struct dtrack_range extents[MAX];
	static struct bitmap before[MAX];
	unsigned int i, nr = m.nr_bitmaps, nr_extents = m.nr_extents;
	int err = 0;

	if (io->entry_size != sizeof(*actions) || io->nr > DTRACK_MAX_ACTIONS)
		abort();
	swap();
	memcpy(before, m.bitmaps, sizeof(before));
	memcpy(extents, m.extents, sizeof(extents));
	memcpy(extents_of, m.extents_of, sizeof(extents_of));
	for (i = 0; i < io->nr && !err; i++) {
		note("%s", i ? ";" : "");
		err = do_action(&actions[i]) ? errno : 0;
	}
	io->out_failed = err ? i - 1 : io->nr;
	if (!err && told_to_fail("TRANSACTION")) {
		io->out_failed = m.blame;
		err = errno;
	}
	if (err) {
		memcpy(m.bitmaps, before, sizeof(before));
		memcpy(m.extents, extents, sizeof(extents));
		memcpy(m.extents_of, extents_of, sizeof(extents_of));
		m.nr_bitmaps = nr;
		m.nr_extents = nr_extents;
		return fail(err);
	}
	for (i = 0; i < m.nr_bitmaps; i++) {
		uint32_t *flags = &m.bitmaps[i].info.flags;

		*flags &= ~(unsigned int)DTRACK_BITMAP_BUSY;
		*flags |= before[i].info.flags & DTRACK_BITMAP_BUSY;
	}
	return 0;
}

static int answer(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case DTRACK_IOC_VERSION:
		return do_version(arg);
	case DTRACK_IOC_LIST:
		return do_list(arg);
	case DTRACK_IOC_INFO:
		return do_info(arg);
	case DTRACK_IOC_ADD:
		return do_add(arg);
	case DTRACK_IOC_REMOVE:
		return do_remove(arg);
	case DTRACK_IOC_ENABLE:
		return do_enable(arg);
	case DTRACK_IOC_CLEAR:
	case DTRACK_IOC_DISABLE:
		return do_bitmap(arg);
	case DTRACK_IOC_MERGE:
		return do_merge(arg);
	case DTRACK_IOC_FREEZE:
		return do_freeze(arg);
	case DTRACK_IOC_ABDICATE:
		return do_end(arg, true);
	case DTRACK_IOC_RECLAIM:
		return do_end(arg, false);
	case DTRACK_IOC_REPORT:
		return do_report(arg);
	case DTRACK_IOC_EXTENTS:
		return do_extents(arg);
	case DTRACK_IOC_BITS_GET:
		return do_bits_get(arg);
	case DTRACK_IOC_BITS_LOAD:
		return do_bits_load(arg);
	case DTRACK_IOC_TRANSACTION:
		return do_transaction(arg);
	default:
		return fail(ENOTTY);
	}
}

static int mock_ioctl(unsigned long cmd, void *arg)
{
	const char *name = ioctl_name(cmd);
	int ret, err;

	pthread_mutex_lock(&lock);
	note("%s", name);
	ret = answer(cmd, arg);
	if (cmd != DTRACK_IOC_TRANSACTION && told_to_fail(name))
		ret = -1;
	err = errno;
	if (!ret && m.keep[0] && changes(cmd))
		store();
	note("%s\n", ret ? " failed" : "");
	if (getenv("DTR_MOCK_EXIT") && !strcmp(getenv("DTR_MOCK_EXIT"), name))
		_exit(0);
	pthread_mutex_unlock(&lock);
	errno = err;
	return ret;
}

static int freeze_fs(unsigned long cmd)
{
	const char *name = cmd == FIFREEZE ? "FIFREEZE" : "FITHAW";
	int ret, err;

	if (cmd == FIFREEZE && m.slow)
		usleep(m.slow * 1000);
	pthread_mutex_lock(&lock);
	ret = told_to_fail(name) ? -1 : 0;
	err = errno;
	note("%s%s\n", name, ret ? " failed" : "");
	pthread_mutex_unlock(&lock);
	errno = err;
	return ret;
}

/* ---- What the C library would have done --------------------------------- */

int ioctl(int fd, unsigned long cmd, ...)
{
	int (*ioctl_real)(int fd, unsigned long cmd, void *arg);
	struct stat st;
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	load();
	if (_IOC_TYPE(cmd) == DTRACK_IOC_TYPE)
		return mock_ioctl(cmd, arg);
	if (cmd == FIFREEZE || cmd == FITHAW)
		return freeze_fs(cmd);
	/* /dev/mock/N is a file. */
	if (cmd == BLKSSZGET && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
		*(unsigned int *)arg = 512;
		return 0;
	}
	if (cmd == BLKGETSIZE64 && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
		*(uint64_t *)arg = (uint64_t)st.st_size;
		return 0;
	}
	if (cmd == BLKROGET && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
		*(int *)arg = !(st.st_mode & 0222);
		return 0;
	}
	*(void **)&ioctl_real = real("ioctl");
	return ioctl_real(fd, cmd, arg);
}

/* Of preload-night.c, where that is linked in. */
__attribute__((weak)) void night_opens(int flags)
{
	(void)flags;
}

/* What /dev/mock/N opens. */
static const char *node_file(const char *path)
{
	int at = atoi(path + strlen(NODES));

	if (at > 0 && at < 16 && m.file[at][0])
		return m.file[at];
	return m.file[0];
}

/*
 * What the command reads and keeps of this machine is beside the script, one folder deep;
 * without a script it cannot be made.
 */
static const char *moved(const char *path, char *buf, size_t size)
{
	static const char *const places[][2] = {
		{ "/etc/dtrack", "etc-dtrack" },
		{ "/run/dtrack", "run-dtrack" },
		{ "/var/lib/dtrack", "var-lib-dtrack" },
	};
	const char *script = getenv("DTR_MOCK"), *slash;
	size_t i, len;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		len = strlen(places[i][0]);
		if (strncmp(path, places[i][0], len) ||
		    (path[len] && path[len] != '/'))
			continue;
		slash = script ? strrchr(script, '/') : NULL;
		snprintf(buf, size, "%.*s/%s%s",
			 slash ? (int)(slash - script) : 0, script ? : "",
			 slash ? places[i][1] : "proc/none", path + len);
		return buf;
	}
	return path;
}

/* Where /sys and /proc are; @buf has room for any such path. */
static const char *rooted(const char *path, char *buf, size_t size)
{
	if (!m.root[0] || (strncmp(path, "/sys/", 5) &&
			   strncmp(path, "/proc", 5)))
		return path;
	snprintf(buf, size, "%s%s", m.root, path);
	return buf;
}

static int mock_open(const char *symbol, const char *path, int flags,
		     mode_t mode)
{
	int (*open_real)(const char *path, int flags, ...);
	char buf[4096];

	load();
	night_opens(flags);
	*(void **)&open_real = real(symbol);
	path = moved(path, buf, sizeof(buf));
	if (!strcmp(path, CONTROL)) {
		note("OPEN%s\n", (flags & O_ACCMODE) == O_RDWR ? "" : " ro");
		if (m.open_err)
			return fail(m.open_err);
		path = "/dev/null";
	} else if (!strncmp(path, NODES, strlen(NODES)) && *node_file(path)) {
		note("SOURCE%s%s\n", flags & O_DIRECT ? " direct" : "",
		     flags & O_CLOEXEC ? " cloexec" : "");
		path = node_file(path);
		/* tmpfs refuses it before 6.6. */
		flags &= ~O_DIRECT;
	}
	return open_real(path, flags, mode);
}

#define MOCK_OPEN(symbol)						\
	int symbol(const char *path, int flags, ...)			\
	{								\
		mode_t mode = 0;					\
		va_list ap;						\
									\
		va_start(ap, flags);					\
		if (flags & (O_CREAT | O_TMPFILE))			\
			mode = va_arg(ap, mode_t);			\
		va_end(ap);						\
		return mock_open(#symbol, path, flags, mode);		\
	}

MOCK_OPEN(open)
MOCK_OPEN(open64)

static bool mock_stat(const char *path, struct stat *st)
{
	char buf[4096], link[4096];
	ssize_t n = -1;

	/* What a process has open is a link to a node. */
	if (rooted(path, buf, sizeof(buf)) == buf)
		n = readlink(buf, link, sizeof(link) - 1);
	if (n > 0) {
		link[n] = '\0';
		path = link;
	}
	if (strncmp(path, NODES, strlen(NODES)) || strchr(path, ':'))
		return false;
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFBLK | 0600;
	st->st_rdev = makedev(MOCK_MAJOR,
			      (unsigned int)atoi(path + strlen(NODES)));
	return true;
}

/* Processes below ROOT have their own namespaces. */
static const char *of_process(const char *path, char *buf, size_t size)
{
	return strncmp(path, "/proc/", 6) ? path : rooted(path, buf, size);
}

int stat(const char *path, struct stat *st)
{
	int (*stat_real)(const char *, struct stat *);
	char buf[4096];

	if (mock_stat(path, st))
		return 0;
	*(void **)&stat_real = real("stat");
	return stat_real(of_process(path, buf, sizeof(buf)), st);
}

int stat64(const char *path, struct stat64 *st)
{
	int (*stat_real)(const char *, struct stat64 *);
	char buf[4096];

	/* The same struct where a word is 64 bits. */
	_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "stat");
	if (mock_stat(path, (struct stat *)st))
		return 0;
	*(void **)&stat_real = real("stat64");
	return stat_real(of_process(path, buf, sizeof(buf)), st);
}

/* Where the kernel says what a node is called. */
static FILE *mock_fopen(const char *symbol, const char *path, const char *mode)
{
	FILE *(*fopen_real)(const char *, const char *);
	static char line[64];
	char buf[4096];
	const char *slash;

	if (m.root[0]) {
		path = rooted(path, buf, sizeof(buf));
	} else if (!strncmp(path, UEVENT, strlen(UEVENT))) {
		slash = strchr(path + strlen(UEVENT), '/');
		if (strcmp(slash, "/uevent"))
			return NULL;
		snprintf(line, sizeof(line), "DEVNAME=mock/%d\n",
			 atoi(path + strlen(UEVENT)));
		return fmemopen(line, strlen(line), "r");
	}
	*(void **)&fopen_real = real(symbol);
	return fopen_real(path, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	return mock_fopen("fopen", path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return mock_fopen("fopen64", path, mode);
}

DIR *opendir(const char *path)
{
	DIR *(*opendir_real)(const char *);
	char buf[4096];

	*(void **)&opendir_real = real("opendir");
	path = moved(path, buf, sizeof(buf));
	return opendir_real(path == buf ? path : rooted(path, buf, sizeof(buf)));
}

int mkdir(const char *path, mode_t mode)
{
	int (*mkdir_real)(const char *, mode_t);
	char buf[4096];

	*(void **)&mkdir_real = real("mkdir");
	return mkdir_real(moved(path, buf, sizeof(buf)), mode);
}

int rename(const char *from, const char *to)
{
	int (*rename_real)(const char *, const char *);
	char buf[4096], other[4096];

	*(void **)&rename_real = real("rename");
	return rename_real(moved(from, buf, sizeof(buf)),
			   moved(to, other, sizeof(other)));
}

int unlink(const char *path)
{
	int (*unlink_real)(const char *);
	char buf[4096];

	*(void **)&unlink_real = real("unlink");
	return unlink_real(moved(path, buf, sizeof(buf)));
}

/* ---- Device-mapper ------------------------------------------------------ */

/* Struct dm_task is ours to define: nobody else's functions see it. */
struct dm_task {
	struct dtrack_dev dev;
	const char *name;
	const struct dm_device *found;
};

static struct dm_task dm_task;

/* Without devices names mean nothing here. */
struct dm_task *dm_task_create(int type)
{
	(void)type;
	load();
	memset(&dm_task, 0, sizeof(dm_task));
	errno = ENXIO;
	return m.nr_dms ? &dm_task : NULL;
}

int dm_task_set_name(struct dm_task *task, const char *name)
{
	task->name = name;
	return 1;
}

int dm_task_set_major(struct dm_task *task, int major)
{
	task->dev.major = (unsigned int)major;
	return 1;
}

int dm_task_set_minor(struct dm_task *task, int minor)
{
	task->dev.minor = (unsigned int)minor;
	return 1;
}

int dm_task_run(struct dm_task *task)
{
	unsigned int i;

	for (i = 0; i < m.nr_dms && !task->found; i++)
		if (task->name ? !strcmp(m.dms[i].name, task->name) :
				 same(m.dms[i].dev, task->dev))
			task->found = &m.dms[i];
	return task->found != NULL;
}

int dm_task_get_errno(struct dm_task *task)
{
	(void)task;
	return ENXIO;
}

/* As the header calls it. */
int dm_task_get_info(struct dm_task *task, struct dm_info *info)
{
	memset(info, 0, sizeof(*info));
	info->exists = 1;
	info->major = task->found->dev.major;
	info->minor = task->found->dev.minor;
	info->suspended = !strcmp(task->found->state, "suspended");
	info->read_only = !strcmp(task->found->state, "readonly");
	return 1;
}

const char *dm_task_get_name(const struct dm_task *task)
{
	return task->found->name;
}

void *dm_get_next_target(struct dm_task *task, void *next, uint64_t *start,
			 uint64_t *length, char **type, char **params)
{
	(void)next;
	*start = 0;
	*length = 8192;
	*type = strcmp(task->found->type, "-") ? (char *)task->found->type :
						 NULL;
	*params = (char *)task->found->params;
	return NULL;
}

void dm_task_destroy(struct dm_task *task)
{
	(void)task;
}

int kmod_module_new_from_lookup(struct kmod_ctx *ctx, const char *alias,
				struct kmod_list **list)
{
	(void)ctx;
	(void)alias;
	load();
	note("KMOD\n");
	*list = NULL;
	return -m.kmod_err;
}
