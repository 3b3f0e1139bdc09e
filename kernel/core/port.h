/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-or-later */
/*
 * port.h - what the core borrows from where it is built.
 *
 * The only place of the core that knows whether it is in the kernel: there it
 * includes the kernel's headers, elsewhere it defines the few of the kernel's
 * words that the core uses, with the meaning they have in the kernel.  No
 * policy and no data structure of ours belongs here.
 */
#ifndef DTR_PORT_H
#define DTR_PORT_H

#ifdef __KERNEL__

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/xxhash.h>

/*
 * Callers that must not do I/O for memory are in a memalloc_noio scope.  Of a
 * request beyond 2 GiB kvzalloc() makes NULL, silently because of NOWARN.
 */
static inline void *dtr_port_zalloc(size_t bytes)
{
	return kvzalloc(bytes, GFP_KERNEL | __GFP_NOWARN);
}

static inline void dtr_port_free(void *mem)
{
	kvfree(mem);
}

/* Between two leaves of a long walk by the owner, who may sleep. */
static inline void dtr_port_relax(void)
{
	cond_resched();
}

/* Sets bits of a word that others set bits of; unordered. */
static inline void dtr_port_or(unsigned long *word, unsigned long mask)
{
	atomic_long_or(mask, (atomic_long_t *)word);
}

static inline u64 dtr_port_hash(const void *buf, size_t len, u64 seed)
{
	return xxh64(buf, len, seed);
}

#else /* !__KERNEL__ */

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>
/* -DXXH_INLINE_ALL for a build that shall not link with libxxhash. */
#include <xxhash.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define BITS_PER_LONG		((unsigned int)(8 * sizeof(long)))

#ifndef likely
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#endif

#define noinline		__attribute((__noinline__))

#define U32_MAX			((u32)~0U)

#define BIT(nr)			(1UL << (nr))
#define BIT_ULL(nr)		(1ULL << (nr))

/*
 * The kernel's READ_ONCE() orders what depends on the value; C has nothing
 * cheaper than acquire for that.  On x86 it is the same instruction.
 */
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define WRITE_ONCE(x, val)	__atomic_store_n(&(x), val, __ATOMIC_RELAXED)

#define cmpxchg(ptr, old, new)						\
({									\
	__typeof__(ptr) __at = (ptr);					\
	__typeof__(*__at) __seen = (old);				\
									\
	__atomic_compare_exchange_n(__at, &__seen, new, false,		\
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	__seen;								\
})

#define ARRAY_SIZE(x)		(sizeof(x) / sizeof((x)[0]))
#define hweight_long(x)		((unsigned int)__builtin_popcountl(x))
#define __ffs(x)		((unsigned int)__builtin_ctzl(x))

#define cpu_to_le16(x)		((__le16)htole16(x))
#define cpu_to_le32(x)		((__le32)htole32(x))
#define cpu_to_le64(x)		((__le64)htole64(x))
#define le16_to_cpu(x)		le16toh((u16)(x))
#define le32_to_cpu(x)		le32toh((u32)(x))
#define le64_to_cpu(x)		le64toh((u64)(x))

#ifdef DTR_PORT_FAIL
/* Defined by a test: whether this allocation of roots shall fail. */
bool dtr_port_fail(void);
#else
static inline bool dtr_port_fail(void)
{
	return false;
}
#endif

static inline void *dtr_port_zalloc(size_t bytes)
{
	return dtr_port_fail() ? NULL : calloc(1, bytes);
}

static inline void dtr_port_free(void *mem)
{
	free(mem);
}

static inline void dtr_port_relax(void)
{
}

static inline void dtr_port_or(unsigned long *word, unsigned long mask)
{
	__atomic_fetch_or(word, mask, __ATOMIC_RELAXED);
}

static inline u64 dtr_port_hash(const void *buf, size_t len, u64 seed)
{
	return XXH64(buf, len, seed);
}

#endif /* __KERNEL__ */
#endif
