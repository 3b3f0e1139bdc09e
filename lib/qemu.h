/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu.h - images, by qemu-img and qemu-nbd.
 *
 * Paths are absolute: qemu takes what is before a ':' in others for a protocol.
 */
#ifndef DTL_QEMU_H
#define DTL_QEMU_H

#include "nbd.h"

/* Of qcow2 images, unless another size is asked for; no unit is larger. */
#define DTL_QEMU_CLUSTER	65536U

/**
 * struct dtl_qemu_info - what an image is like.  The caller fills in the first two.
 * @file: told of it, and then of each that it lies over, by the name that qemu
 *	has for it; or NULL
 * @opaque: handed to it
 * @size: bytes that it stands for
 * @cluster: bytes; what it has itself is clusters; 0 where there are none
 */
struct dtl_qemu_info {
	void (*file)(void *opaque, const char *name);
	void *opaque;
	uint64_t size;
	uint64_t cluster;
};

/**
 * dtl_qemu_look() - whether an image and all that it lies over can be opened.
 * @h: the handle
 * @path: the image
 * @format: "raw" or "qcow2"
 * @alone: the image only
 * @info: result
 *
 * Return: 0, -ENOLINK when one cannot, or another errno; with words.
 */
int dtl_qemu_look(struct dtrack *h, const char *path, const char *format,
		  bool alone, struct dtl_qemu_info *info);

/**
 * dtl_qemu_cluster() - the clusters that suit granules.
 * @granule: bytes, or 0
 * @size: bytes that the image is to stand for
 *
 * No larger than a granule where the format permits: then nothing is ever copied
 * up from below to fill one.
 *
 * Return: bytes, a power of two in 4096 .. DTL_QEMU_CLUSTER.
 */
uint64_t dtl_qemu_cluster(uint64_t granule, uint64_t size);

/**
 * dtl_qemu_create() - make a qcow2 image, whatever the file was before.
 * @h: the handle
 * @path: the image
 * @size: bytes that it stands for
 * @cluster: bytes, as of dtl_qemu_cluster()
 * @backing: how the image names what it lies over, or NULL
 * @format: of @backing
 *
 * Return: 0, or -EIO or another errno with words.
 */
int dtl_qemu_create(struct dtrack *h, const char *path, uint64_t size,
		    uint64_t cluster, const char *backing, const char *format);

/**
 * dtl_qemu_serve() - start a server for an image, and connect to it.
 * @h: the handle
 * @path: the image
 * @format: "raw" or "qcow2"
 * @direct: it and all that it lies over are read and written past memory
 * @place: all but @uri and @command
 * @nbd: result; the server ends with dtl_nbd_close(), or with this process
 *
 * Return: 0, or an errno with words.
 */
int dtl_qemu_serve(struct dtrack *h, const char *path, const char *format,
		   bool direct, const struct dtl_nbd_place *place,
		   struct dtl_nbd **nbd);

/**
 * dtl_qemu_serve_alone() - the same, of a qcow2 image without what it lies over.
 *
 * What the image does not have itself is not to be read.
 */
int dtl_qemu_serve_alone(struct dtrack *h, const char *path, bool direct,
			 const struct dtl_nbd_place *place,
			 struct dtl_nbd **nbd);

/**
 * dtl_qemu_map() - what an image has itself, not from what it lies over.
 * @h: the handle
 * @path: a qcow2 image, absolute
 * @own: told of each range, ascending, in clusters; anything but 0 ends it
 * @opaque: handed to it
 *
 * A qemu before 6.1 does not tell of clusters that are zeroes.
 *
 * Return: 0, what @own said, -ENOLINK when qemu cannot tell, or another errno;
 * with words.
 */
int dtl_qemu_map(struct dtrack *h, const char *path,
		 int (*own)(void *opaque, const struct dtrack_range *range),
		 void *opaque);

#endif
