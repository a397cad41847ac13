/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of captured frames: the format of libpcap, version 2.4.
 *
 * A header, then frames, each with a header of its own. Numbers are in the byte
 * order of who wrote them, which the magic number shows, as it does whether
 * fractions of seconds are micro- or nanoseconds. Times are not used here.
 *
 * Source: draft-ietf-opsawg-pcap, "PCAP Capture File Format"
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <byteswap.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "cli/net.h"

#define MAGIC_US      0xa1b2c3d4U
#define MAGIC_NS      0xa1b23c4dU
#define MAGIC_NG      0x0a0d0d0aU /* another format: pcapng */
#define LINK_MASK     0xffffU /* above it: what follows a frame */
#define LINK_ETHERNET 1
#define SNAP_BYTES    262144 /* as tcpdump has it */

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy; /* 0 */
	uint32_t snap_bytes;
	uint32_t link;
};

struct frame_header {
	uint32_t seconds, fraction;
	uint32_t len_bytes; /* in the file */
	uint32_t full_bytes; /* on the wire */
};

/* ---- reading ---- */

static uint32_t number(const struct pcap_reader *r, uint32_t value)
{
	return r->is_swapped ? bswap_32(value) : value;
}

/* Return: 1; 0: nothing is left; -errno */
static int read_all(struct pcap_reader *r, void *buf, size_t len)
{
	size_t n = fread(buf, 1, len, r->f);

	if (n == len) {
		return 1;
	}
	if (ferror(r->f)) {
		return err(-EIO, "%s: it cannot be read", r->path);
	}
	if (n == 0) {
		return 0;
	}
	return err(-EPROTO, "%s ends within a frame", r->path);
}

static int check_file(struct pcap_reader *r, const struct file_header *h)
{
	bool is_native = h->magic == MAGIC_US || h->magic == MAGIC_NS;

	r->is_swapped = !is_native;
	if (h->magic == MAGIC_NG) {
		return err(-EPROTO,
			   "%s is of the format pcapng; `tcpdump -r` and -w "
			   "make a pcap file of it",
			   r->path);
	}
	if (!is_native && bswap_32(h->magic) != MAGIC_US &&
	    bswap_32(h->magic) != MAGIC_NS) {
		return err(-EPROTO, "%s is no pcap file", r->path);
	}
	if ((number(r, h->link) & LINK_MASK) != LINK_ETHERNET) {
		return err(-EPROTO,
			   "%s: its frames are of link type %u, not of "
			   "Ethernet",
			   r->path, number(r, h->link) & LINK_MASK);
	}
	return 0;
}

int pcap_open(const char *path, struct pcap_reader *ret)
{
	struct pcap_reader reader = { .path = path, .f = stdin };
	struct file_header h;
	int r;

	if (strcmp(path, "-") != 0) {
		reader.f = fopen(path, "re");
		reader.owns_file = true;
	}
	if (!reader.f) {
		return err(-errno, "%s: %s", path, strerror(errno));
	}
	r = read_all(&reader, &h, sizeof(h));
	if (r == 0) {
		r = err(-EPROTO, "%s is empty: no pcap file", path);
	}
	r = r < 0 ? r : check_file(&reader, &h);
	if (r < 0) {
		pcap_close(&reader);
		return r;
	}
	*ret = reader;
	return 0;
}

static int check_frame(const struct pcap_reader *r, uint32_t len, uint32_t full)
{
	unsigned long long n = r->n_frames + 1;

	if (len < VDPAKIT_NET_FRAME_MIN || len > VDPAKIT_NET_FRAME_MAX) {
		return err(-EPROTO, "%s: frame %llu has %u bytes, not %u to %u",
			   r->path, n, len, VDPAKIT_NET_FRAME_MIN,
			   VDPAKIT_NET_FRAME_MAX);
	}
	if (len != full) {
		return err(-EPROTO,
			   "%s: of frame %llu only %u of %u bytes were "
			   "captured",
			   r->path, n, len, full);
	}
	return 0;
}

int pcap_read(struct pcap_reader *r, uint8_t *frame, uint32_t *ret_len)
{
	struct frame_header h;
	uint32_t len;
	int ret = read_all(r, &h, sizeof(h));

	if (ret <= 0) {
		return ret;
	}
	len = number(r, h.len_bytes);
	ret = check_frame(r, len, number(r, h.full_bytes));
	if (ret < 0) {
		return ret;
	}
	ret = read_all(r, frame, len);
	if (ret <= 0) {
		return ret < 0 ? ret
			       : err(-EPROTO, "%s ends within a frame",
				     r->path);
	}
	r->n_frames++;
	*ret_len = len;
	return 1;
}

void pcap_close(struct pcap_reader *r)
{
	if (r->owns_file && r->f) {
		(void)fclose(r->f); /* opened for reading */
	}
	r->f = NULL;
}

/* ---- writing ---- */

static int failed(const struct pcap_writer *w)
{
	return err(errno ? -errno : -EIO, "%s: %s", w->path, strerror(errno));
}

int pcap_create(const char *path, struct pcap_writer *ret)
{
	const struct file_header h = { .magic = MAGIC_US,
				       .major = 2,
				       .minor = 4,
				       .snap_bytes = SNAP_BYTES,
				       .link = LINK_ETHERNET };
	struct pcap_writer writer = { .path = path, .f = stdout };
	int r;

	if (strcmp(path, "-") != 0) {
		writer.f = fopen(path, "we");
		writer.owns_file = true;
	}
	if (!writer.f) {
		return failed(&writer);
	}
	r = fwrite(&h, sizeof(h), 1, writer.f) == 1 ? pcap_flush(&writer)
						    : failed(&writer);
	if (r < 0) {
		if (writer.owns_file) {
			(void)fclose(writer.f); /* it failed before */
		}
		return r;
	}
	*ret = writer;
	return 0;
}

int pcap_write(struct pcap_writer *w, const struct timespec *time,
	       const struct vdpakit_net_received *frame)
{
	const struct frame_header h = {
		.seconds = (uint32_t)time->tv_sec,
		.fraction = (uint32_t)(time->tv_nsec / 1000),
		.len_bytes = frame->len_bytes,
		.full_bytes = frame->len_bytes,
	};
	const struct vdpakit_net_piece *p = frame->pieces;
	bool is_written = fwrite(&h, sizeof(h), 1, w->f) == 1;

	for (; is_written && p; p = p->next) {
		is_written = fwrite(p->data, 1, p->len_bytes, w->f) ==
			     p->len_bytes;
	}
	return is_written ? 0 : failed(w);
}

int pcap_flush(struct pcap_writer *w)
{
	return fflush(w->f) == 0 ? 0 : failed(w);
}

int pcap_end(struct pcap_writer *w)
{
	FILE *f = w->f;

	w->f = NULL;
	if (!f || !w->owns_file) {
		return 0;
	}
	return fclose(f) == 0 ? 0 : failed(w);
}
