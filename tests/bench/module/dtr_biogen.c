// SPDX-License-Identifier: GPL-2.0-only
/*
 * dtr_biogen.c - submit bios to block devices and say how long it took.
 *
 * A run is a number of rounds.  In each round every device, in shuffled order,
 * gets the same bios: what the ratio of two devices in one round shows is the
 * devices.  Bios are allocated before and reused, sectors are chosen before,
 * so that the timed part is bio_reset(), submit_bio() and the completion.
 *
 * Beside the time this module keeps, for each device, which granules it has
 * written: the oracle that a tracker's bitmap is compared with.  Test code,
 * never part of the product.
 *
 * Files in debugfs, dtr_biogen/:
 *	run	write '<option>=<value>... <device>...' and wait for the run's end:
 *		op=write|read|discard	default write
 *		pattern=random		any block of the span
 *			sequential	block after block, on from the last round
 *			hot		the first block
 *			each		a block of each granule, once, shuffled;
 *					on from the last round
 *		bs=BYTES		default 4096
 *		granule=BYTES		default 65536
 *		span=BYTES		of the device, from its start; default all
 *		bios=N rounds=N		default 1000, 1
 *		depth=N			bios in flight, a power of two; default 1
 *		threads=N		each on a CPU of its own, all bios divided
 *					among them; default 1
 *		seed=N			default 1
 *	result	read, a line for each round: nanoseconds for each device, in the
 *		order of 'run'
 *	oracle	read: '<device> <granularity> <dirty bytes>' for what was written,
 *		at the granularity of the first run and 6 coarser ones;
 *		write '<device>' to forget what was written to it
 *
 * Contexts: everything process but slot_end_io(), which is in any.
 */
#include <linux/bio.h>
#include <linux/bitmap.h>
#include <linux/blkdev.h>
#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#define MAX_DEVICES	24
#define MAX_THREADS	16
#define MAX_DEPTH	1024
/* Granularities that the oracle is printed at: each twice the one before. */
#define NR_GRANULARITIES 7

enum pattern { PATTERN_RANDOM, PATTERN_SEQUENTIAL, PATTERN_HOT, PATTERN_EACH };

/**
 * struct biogen_disk - what was written to a device, kept between runs.
 * @link: in disks
 * @path: how the user calls it
 * @size: bytes
 * @shift: log2 of the granularity of @dirty
 * @dirty: written granules
 */
struct biogen_disk {
	struct list_head link;
	char *path;
	u64 size;
	unsigned int shift;
	unsigned long *dirty;
};

/**
 * struct biogen_run - what a line to 'run' asks for, and its answer.
 * @op: REQ_OP_*
 * @pattern: where the bios go
 * @bs: bytes of a bio
 * @granule: bytes
 * @span: bytes of each device that are written to
 * @bios: of a round
 * @rounds: how many
 * @depth: bios in flight for each thread
 * @threads: submitters
 * @seed: of everything that is random
 * @nr_devices: of the three arrays
 * @paths: the devices as the line calls them; in the line
 * @files: the devices, open
 * @disks: what is written to them
 * @nr_blocks: blocks of @bs in the span
 * @nr_granules: granules in the span
 * @position: of the patterns that go on from round to round
 * @order: the granules of the span, shuffled; PATTERN_EACH only
 * @sectors: @bios of them, of the round
 * @random: state of the generator of random numbers
 * @page: what is written, and read into
 * @ns: @rounds times @nr_devices results
 */
struct biogen_run {
	unsigned int op;
	enum pattern pattern;
	u64 bs, granule, span, bios, rounds, depth, threads, seed;
	unsigned int nr_devices;
	char *paths[MAX_DEVICES];
	struct file *files[MAX_DEVICES];
	struct biogen_disk *disks[MAX_DEVICES];
	u64 nr_blocks, nr_granules, position;
	u32 *order;
	sector_t *sectors;
	u64 random;
	struct page *page;
	u64 *ns;
};

struct biogen_worker;

/* A bio with its vectors, reused as soon as it is idle. */
struct biogen_slot {
	struct bio bio;
	bool busy;
	struct biogen_worker *worker;
	struct bio_vec *vecs;
};

/**
 * struct biogen_worker - one submitter.
 * @run: what it works for
 * @slots: its bios, a power of two
 * @nr_slots: how many
 * @nr_vecs: pages of each bio
 * @nr: bios of a round
 * @sectors: where they go
 * @bdev: to which device
 * @wait: for a slot to become idle
 * @error: a bio has failed
 * @started: when the round's timed part began, ns
 * @ended: when it ended
 * @start: threads only: how many of the round's threads have not come yet
 * @done: threads only: the round is over
 */
struct biogen_worker {
	struct biogen_run *run;
	struct biogen_slot *slots;
	unsigned int nr_slots;
	unsigned short nr_vecs;
	u64 nr;
	const sector_t *sectors;
	struct block_device *bdev;
	wait_queue_head_t wait;
	bool error;
	u64 started, ended;
	atomic_t *start;
	struct completion done;
};

static DEFINE_MUTEX(biogen_mutex);	/* protects all that follows */
static LIST_HEAD(biogen_disks);
static struct biogen_worker *workers[MAX_THREADS];
static u64 *last_ns;
static u64 last_rounds;
static unsigned int last_devices;

/* ---- Submitting ---- */

/*
 * Ends within a preempt-off section: who frees the worker waits for a grace
 * period after the last slot is idle.
 */
static void slot_end_io(struct bio *bio)
{
	struct biogen_slot *slot = container_of(bio, struct biogen_slot, bio);
	struct biogen_worker *w = slot->worker;

	if (unlikely(bio->bi_status))
		w->error = true;
	preempt_disable();
	/* Pairs with smp_load_acquire() in wait_idle(). */
	smp_store_release(&slot->busy, false);
	smp_mb();	/* busy before the look at the queue; pairs with wait_event() */
	if (unlikely(waitqueue_active(&w->wait)))
		wake_up(&w->wait);
	preempt_enable();
}

static __always_inline void wait_idle(struct biogen_worker *w,
				      struct biogen_slot *slot)
{
	/* Pairs with smp_store_release() where the bio ends. */
	if (unlikely(smp_load_acquire(&slot->busy)))
		/* As above. */
		wait_event(w->wait, !smp_load_acquire(&slot->busy));
}

static void submit_round(struct biogen_worker *w)
{
	const unsigned int mask = w->nr_slots - 1;
	const unsigned int opf = w->run->op;
	const unsigned int bs = w->run->bs;
	u64 i;

	w->started = ktime_get_ns();
	for (i = 0; i < w->nr; i++) {
		struct biogen_slot *slot = &w->slots[i & mask];
		struct bio *bio = &slot->bio;

		wait_idle(w, slot);
		slot->busy = true;
		bio_reset(bio, w->bdev, opf);
		bio->bi_iter.bi_sector = w->sectors[i];
		bio->bi_iter.bi_size = bs;
		bio->bi_vcnt = w->nr_vecs;
		bio->bi_end_io = slot_end_io;
		submit_bio(bio);
	}
	for (i = 0; i < w->nr_slots; i++)
		wait_idle(w, &w->slots[i]);
	w->ended = ktime_get_ns();
}

/* One round of one thread: all begin when the last of them has come. */
static int worker_thread_fn(void *data)
{
	struct biogen_worker *w = data;

	atomic_dec(w->start);
	while (atomic_read(w->start))
		cpu_relax();
	submit_round(w);
	complete(&w->done);
	return 0;
}

static int run_threads(struct biogen_run *run, u64 *ns)
{
	u64 started = U64_MAX, ended = 0;
	struct task_struct *tasks[MAX_THREADS];
	atomic_t start = ATOMIC_INIT(run->threads);
	unsigned int i, cpu = cpumask_first(cpu_online_mask);

	for (i = 0; i < run->threads; i++) {
		tasks[i] = kthread_create(worker_thread_fn, workers[i],
					  "biogen/%u", i);
		if (IS_ERR(tasks[i])) {
			int r = PTR_ERR(tasks[i]);

			while (i--) {
				kthread_stop(tasks[i]);
				put_task_struct(tasks[i]);
			}
			return r;
		}
		get_task_struct(tasks[i]);
		kthread_bind(tasks[i], cpu);
		cpu = cpumask_next(cpu, cpu_online_mask);
		workers[i]->start = &start;
		reinit_completion(&workers[i]->done);
	}
	for (i = 0; i < run->threads; i++)
		wake_up_process(tasks[i]);
	for (i = 0; i < run->threads; i++) {
		wait_for_completion(&workers[i]->done);
		kthread_stop(tasks[i]);
		put_task_struct(tasks[i]);
		started = min(started, workers[i]->started);
		ended = max(ended, workers[i]->ended);
	}
	*ns = ended - started;
	return 0;
}

static int run_device(struct biogen_run *run, unsigned int index, u64 *ns)
{
	u64 each = div64_u64(run->bios, run->threads);
	unsigned int i;
	int r = 0;

	for (i = 0; i < run->threads; i++) {
		workers[i]->bdev = I_BDEV(run->files[index]->f_mapping->host);
		workers[i]->sectors = run->sectors + i * each;
		workers[i]->nr = each;
	}
	if (run->threads == 1) {
		submit_round(workers[0]);
		*ns = workers[0]->ended - workers[0]->started;
	} else {
		r = run_threads(run, ns);
	}
	for (i = 0; i < run->threads; i++)
		if (workers[i]->error)
			r = -EIO;
	return r;
}

/* ---- Choosing ---- */

/* splitmix64: the whole state is the seed, so that a run can be repeated. */
static u64 next_random(struct biogen_run *run)
{
	u64 z = run->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static u64 random_below(struct biogen_run *run, u64 limit)
{
	u64 quotient, n = next_random(run) >> 1;

	quotient = div64_u64(n, limit);
	return n - quotient * limit;
}

static u64 choose_byte(struct biogen_run *run)
{
	u64 per_granule = max(run->granule / run->bs, 1ULL);
	u64 at = run->position;

	switch (run->pattern) {
	case PATTERN_RANDOM:
		return random_below(run, run->nr_blocks) * run->bs;
	case PATTERN_SEQUENTIAL:
		run->position = at + 1 == run->nr_blocks ? 0 : at + 1;
		return at * run->bs;
	case PATTERN_HOT:
		return 0;
	case PATTERN_EACH:
		run->position = at + 1 == run->nr_granules ? 0 : at + 1;
		return (u64)run->order[at] * run->granule +
		       random_below(run, per_granule) * run->bs;
	}
	return 0;
}

static void choose_sectors(struct biogen_run *run)
{
	u64 i;

	for (i = 0; i < run->bios; i++)
		run->sectors[i] = choose_byte(run) >> SECTOR_SHIFT;
}

static int shuffle_granules(struct biogen_run *run)
{
	u64 i;

	if (run->pattern != PATTERN_EACH)
		return 0;
	if (run->nr_granules > U32_MAX)
		return -EFBIG;
	run->order = vmalloc(run->nr_granules * sizeof(*run->order));
	if (!run->order)
		return -ENOMEM;
	for (i = 0; i < run->nr_granules; i++)
		run->order[i] = i;
	for (i = run->nr_granules - 1; i > 0; i--) {
		u64 with = random_below(run, i + 1);

		swap(run->order[i], run->order[with]);
	}
	return 0;
}

static void shuffle_devices(struct biogen_run *run, unsigned int *order)
{
	unsigned int i;

	for (i = 0; i < run->nr_devices; i++)
		order[i] = i;
	for (i = run->nr_devices - 1; i > 0; i--) {
		unsigned int with = random_below(run, i + 1);

		swap(order[i], order[with]);
	}
}

/* ---- The oracle ---- */

static void oracle_note(struct biogen_run *run, struct biogen_disk *disk)
{
	u64 i;

	if (run->op == REQ_OP_READ)
		return;
	for (i = 0; i < run->bios; i++) {
		u64 byte = run->sectors[i] << SECTOR_SHIFT;
		u64 bit = byte >> disk->shift;
		u64 last = (byte + run->bs - 1) >> disk->shift;

		bitmap_set(disk->dirty, bit, last - bit + 1);
	}
}

/* Bytes that a bitmap of this granularity has to call dirty. */
static u64 oracle_bytes(const struct biogen_disk *disk, unsigned int shift)
{
	u64 nr_bits = ((disk->size - 1) >> disk->shift) + 1;
	unsigned int coarser = shift - disk->shift;
	u64 bit = 0, bytes = 0;

	for (;;) {
		u64 start;

		bit = find_next_bit(disk->dirty, nr_bits, bit);
		if (bit >= nr_bits)
			return bytes;
		start = (bit >> coarser) << shift;
		bytes += min(1ULL << shift, disk->size - start);
		bit = ((bit >> coarser) + 1) << coarser;
		cond_resched();
	}
}

static struct biogen_disk *disk_find(const char *path)
{
	struct biogen_disk *disk;

	list_for_each_entry(disk, &biogen_disks, link)
		if (!strcmp(disk->path, path))
			return disk;
	return NULL;
}

static void disk_forget(struct biogen_disk *disk)
{
	list_del(&disk->link);
	vfree(disk->dirty);
	kfree(disk->path);
	kfree(disk);
}

static struct biogen_disk *disk_get(const char *path, u64 size, u64 granule)
{
	struct biogen_disk *disk = disk_find(path);
	u64 nr_bits;

	if (disk)
		return disk->size == size ? disk : ERR_PTR(-ESTALE);
	disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	if (!disk)
		return ERR_PTR(-ENOMEM);
	disk->size = size;
	disk->shift = ilog2(granule);
	nr_bits = ((size - 1) >> disk->shift) + 1;
	disk->path = kstrdup(path, GFP_KERNEL);
	disk->dirty = vzalloc(BITS_TO_LONGS(nr_bits) * sizeof(long));
	list_add_tail(&disk->link, &biogen_disks);
	if (disk->path && disk->dirty)
		return disk;
	disk_forget(disk);
	return ERR_PTR(-ENOMEM);
}

/* ---- A run ---- */

static void worker_destroy(struct biogen_worker *w)
{
	unsigned int i;

	if (!w)
		return;
	for (i = 0; w->slots && i < w->nr_slots; i++) {
		bio_uninit(&w->slots[i].bio);
		kfree(w->slots[i].vecs);
	}
	kvfree(w->slots);
	kfree(w);
}

static int slot_init(struct biogen_worker *w, struct biogen_slot *slot)
{
	unsigned int i;

	slot->worker = w;
	slot->vecs = kcalloc(max_t(unsigned int, w->nr_vecs, 1),
			     sizeof(*slot->vecs), GFP_KERNEL);
	if (!slot->vecs)
		return -ENOMEM;
	for (i = 0; i < w->nr_vecs; i++) {
		slot->vecs[i].bv_page = w->run->page;
		slot->vecs[i].bv_len = min_t(u64, w->run->bs, PAGE_SIZE);
	}
	bio_init(&slot->bio, NULL, slot->vecs, max_t(u16, w->nr_vecs, 1), 0);
	return 0;
}

static struct biogen_worker *worker_create(struct biogen_run *run)
{
	struct biogen_worker *w = kzalloc(sizeof(*w), GFP_KERNEL);
	unsigned int i;

	if (!w)
		return NULL;
	w->run = run;
	w->nr_slots = run->depth;
	if (run->op != REQ_OP_DISCARD)
		w->nr_vecs = DIV_ROUND_UP(run->bs, PAGE_SIZE);
	init_waitqueue_head(&w->wait);
	init_completion(&w->done);
	w->slots = kvcalloc(w->nr_slots, sizeof(*w->slots), GFP_KERNEL);
	for (i = 0; w->slots && i < w->nr_slots; i++)
		if (slot_init(w, &w->slots[i]))
			break;
	if (i == w->nr_slots)
		return w;
	worker_destroy(w);
	return NULL;
}

static int run_rounds(struct biogen_run *run)
{
	unsigned int order[MAX_DEVICES];
	u64 round;
	unsigned int i;
	int r;

	for (round = 0; round < run->rounds; round++) {
		choose_sectors(run);
		shuffle_devices(run, order);
		for (i = 0; i < run->nr_devices; i++) {
			u64 *ns = &run->ns[round * run->nr_devices + order[i]];

			r = run_device(run, order[i], ns);
			if (r)
				return r;
			oracle_note(run, run->disks[order[i]]);
			cond_resched();
		}
		if (signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static int run_prepare(struct biogen_run *run)
{
	unsigned int i;
	int r;

	run->sectors = vmalloc(run->bios * sizeof(*run->sectors));
	run->ns = vzalloc(run->rounds * run->nr_devices * sizeof(*run->ns));
	run->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!run->sectors || !run->ns || !run->page)
		return -ENOMEM;
	run->random = run->seed;
	r = shuffle_granules(run);
	for (i = 0; !r && i < run->threads; i++) {
		workers[i] = worker_create(run);
		if (!workers[i])
			r = -ENOMEM;
	}
	return r;
}

static void run_finish(struct biogen_run *run)
{
	unsigned int i;

	synchronize_rcu();	/* for slot_end_io() */
	for (i = 0; i < MAX_THREADS; i++) {
		worker_destroy(workers[i]);
		workers[i] = NULL;
	}
	for (i = 0; i < run->nr_devices; i++)
		fput(run->files[i]);
	if (run->page)
		__free_page(run->page);
	vfree(run->order);
	vfree(run->sectors);
	vfree(run->ns);
}

/* ---- The line ---- */

static int parse_word(const char *word, const char *const *words, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (words[i] && !strcmp(words[i], word))
			return i;
	return -EINVAL;
}

static int parse_option(struct biogen_run *run, const char *name,
			const char *value)
{
	static const char * const patterns[] = {
		[PATTERN_RANDOM] = "random",
		[PATTERN_SEQUENTIAL] = "sequential",
		[PATTERN_HOT] = "hot",
		[PATTERN_EACH] = "each",
	};
	static const char * const ops[] = {
		[REQ_OP_READ] = "read",
		[REQ_OP_WRITE] = "write",
		[REQ_OP_DISCARD] = "discard",
	};
	const struct {
		const char *name;
		u64 *at;
	} numbers[] = {
		{ "bs", &run->bs }, { "granule", &run->granule },
		{ "span", &run->span }, { "bios", &run->bios },
		{ "rounds", &run->rounds }, { "depth", &run->depth },
		{ "threads", &run->threads }, { "seed", &run->seed },
	};
	unsigned int i;
	int r;

	if (!strcmp(name, "op")) {
		r = parse_word(value, ops, ARRAY_SIZE(ops));
		run->op = r;
		return min(r, 0);
	}
	if (!strcmp(name, "pattern")) {
		r = parse_word(value, patterns, ARRAY_SIZE(patterns));
		run->pattern = r;
		return min(r, 0);
	}
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strcmp(name, numbers[i].name))
			return kstrtou64(value, 10, numbers[i].at);
	return -EINVAL;
}

static int open_device(struct biogen_run *run, char *path)
{
	struct file *file;

	if (run->nr_devices == MAX_DEVICES)
		return -E2BIG;
	file = filp_open(path, O_RDWR | O_LARGEFILE, 0);
	if (IS_ERR(file))
		return PTR_ERR(file);
	if (!S_ISBLK(file_inode(file)->i_mode)) {
		fput(file);
		return -ENOTBLK;
	}
	run->paths[run->nr_devices] = path;
	run->files[run->nr_devices++] = file;
	return 0;
}

static bool within(u64 value, u64 low, u64 high)
{
	return value >= low && value <= high;
}

/* Everything but the devices is within its limits. */
static int check_numbers(struct biogen_run *run)
{
	if (!within(run->bs, SECTOR_SIZE, 1U << 31) ||
	    !is_power_of_2(run->bs) || !is_power_of_2(run->granule) ||
	    !within(run->granule, SECTOR_SIZE, 1U << 31) ||
	    !within(run->bios, 1, 1U << 24) ||
	    !within(run->rounds, 1, 1U << 20) ||
	    !within(run->depth, 1, MAX_DEPTH) || !is_power_of_2(run->depth) ||
	    !within(run->threads, 1, min_t(unsigned int, MAX_THREADS,
					     num_online_cpus())))
		return -EINVAL;
	/* Two bytes count the vectors of a bio. */
	if (run->op != REQ_OP_DISCARD && run->bs > BIO_MAX_VECS * PAGE_SIZE)
		return -EINVAL;
	return run->nr_devices ? 0 : -ENODEV;
}

static int check_devices(struct biogen_run *run)
{
	unsigned int i;

	for (i = 0; i < run->nr_devices; i++) {
		struct block_device *bdev = I_BDEV(run->files[i]->f_mapping->host);
		u64 size = bdev_nr_bytes(bdev);

		run->disks[i] = disk_get(run->paths[i], size, run->granule);
		if (IS_ERR(run->disks[i]))
			return PTR_ERR(run->disks[i]);
		if (!run->span)
			run->span = size;
		if (run->span > size)
			return -EINVAL;
	}
	run->nr_blocks = run->span >> ilog2(run->bs);
	run->nr_granules = run->span >> ilog2(run->granule);
	return run->nr_blocks && run->nr_granules ? 0 : -EINVAL;
}

static int parse_line(struct biogen_run *run, char *line)
{
	char *word;
	int r;

	while ((word = strsep(&line, "\n "))) {
		char *value = strchr(word, '=');

		if (!*word)
			continue;
		if (value) {
			*value++ = '\0';
			r = parse_option(run, word, value);
		} else {
			r = open_device(run, word);
		}
		if (r) {
			pr_err("biogen: '%s': error %d\n", word, r);
			return r;
		}
	}
	r = check_numbers(run);
	if (!r)
		r = check_devices(run);
	if (r)
		pr_err("biogen: a number out of range: error %d\n", r);
	return r;
}

static int run_line(char *line)
{
	struct biogen_run *run = kzalloc(sizeof(*run), GFP_KERNEL);
	int r;

	if (!run)
		return -ENOMEM;
	run->op = REQ_OP_WRITE;
	run->bs = 4096;
	run->granule = 65536;
	run->bios = 1000;
	run->rounds = 1;
	run->depth = 1;
	run->threads = 1;
	run->seed = 1;
	r = parse_line(run, line);
	if (!r)
		r = run_prepare(run);
	if (!r)
		r = run_rounds(run);
	if (!r) {
		swap(last_ns, run->ns);
		last_rounds = run->rounds;
		last_devices = run->nr_devices;
	}
	run_finish(run);
	kfree(run);
	return r;
}

/* ---- debugfs ---- */

static ssize_t run_write(struct file *file, const char __user *buf,
			 size_t len, loff_t *pos)
{
	char *line = memdup_user_nul(buf, len);
	int r;

	if (IS_ERR(line))
		return PTR_ERR(line);
	mutex_lock(&biogen_mutex);
	r = run_line(line);
	mutex_unlock(&biogen_mutex);
	kfree(line);
	return r ? r : len;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = run_write,
};

static int result_show(struct seq_file *m, void *unused)
{
	u64 round;
	unsigned int i;

	mutex_lock(&biogen_mutex);
	for (round = 0; last_ns && round < last_rounds; round++) {
		for (i = 0; i < last_devices; i++)
			seq_printf(m, i ? " %llu" : "%llu",
				   last_ns[round * last_devices + i]);
		seq_putc(m, '\n');
	}
	mutex_unlock(&biogen_mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(result);

static int oracle_show(struct seq_file *m, void *unused)
{
	struct biogen_disk *disk;
	unsigned int shift;

	mutex_lock(&biogen_mutex);
	list_for_each_entry(disk, &biogen_disks, link)
		for (shift = disk->shift; shift < disk->shift + NR_GRANULARITIES;
		     shift++)
			seq_printf(m, "%s %llu %llu\n", disk->path, 1ULL << shift,
				   oracle_bytes(disk, shift));
	mutex_unlock(&biogen_mutex);
	return 0;
}

static int oracle_open(struct inode *inode, struct file *file)
{
	return single_open(file, oracle_show, NULL);
}

static ssize_t oracle_write(struct file *file, const char __user *buf,
			    size_t len, loff_t *pos)
{
	char *line = memdup_user_nul(buf, len);
	struct biogen_disk *disk;

	if (IS_ERR(line))
		return PTR_ERR(line);
	mutex_lock(&biogen_mutex);
	disk = disk_find(strim(line));
	if (disk)
		disk_forget(disk);
	mutex_unlock(&biogen_mutex);
	kfree(line);
	return len;
}

static const struct file_operations oracle_fops = {
	.owner = THIS_MODULE,
	.open = oracle_open,
	.read = seq_read,
	.write = oracle_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static struct dentry *dir;

static int __init biogen_init(void)
{
	dir = debugfs_create_dir("dtr_biogen", NULL);
	debugfs_create_file("run", 0200, dir, NULL, &run_fops);
	debugfs_create_file("result", 0400, dir, NULL, &result_fops);
	debugfs_create_file("oracle", 0600, dir, NULL, &oracle_fops);
	return PTR_ERR_OR_ZERO(dir);
}

static void __exit biogen_exit(void)
{
	struct biogen_disk *disk, *next;

	debugfs_remove_recursive(dir);
	list_for_each_entry_safe(disk, next, &biogen_disks, link)
		disk_forget(disk);
	vfree(last_ns);
}

module_init(biogen_init);
module_exit(biogen_exit);

MODULE_DESCRIPTION("Generator of bios, for benchmarks");
MODULE_AUTHOR("The dm-dirtytrack authors");
MODULE_LICENSE("GPL");
