/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Net backend loopback: what is sent comes back.
 *
 * Theory of operation
 *
 * A frame that is sent comes back on the receive queue of its pair when it is
 * addressed to the device (its MAC, multicast, broadcast) and the pair is
 * active; others are counted as dropped.
 * Nothing waits for receive buffers: a frame that finds none is an overrun, as
 * on a wire. But where there may be some, and the client has yet to map their
 * memory, the frame stays in the transmit queue, with all that come after it.
 * Frames come back with a clean header: no offload is offered, so whatever the
 * sender's header says means nothing. With MRG_RXBUF a frame is spread over as
 * many receive chains as it needs.
 *
 * A burst goes in phases, each over all its frames, so that the lines of one
 * frame are on their way while another is looked at:
 *
 *   sort_out    each frame's address: taken, not ours, bad
 *   fetch       as many receive chains as frames are taken
 *   loop_back   header and frame, to one chain or, merged, to several
 *   complete    both queues; chains that nobody needed go back to the driver
 *
 * Chains of one piece, which is what drivers offer, are copied with one
 * memmove(); anything else goes through vq_chain_copy().
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "dev/net/class.h"

/* Receive chains that one frame may take: the longest fits into those of drivers
 * that offer no more than a packet's length each. */
#define FRAME_CHAINS_MAX 64
/* Fetched and not completed: those of one frame, and one more fetch. */
#define HELD_MAX (FRAME_CHAINS_MAX + SOFT_BURST)

/* The receive chains of a burst. */
struct receive {
	struct vq_chain *chains[HELD_MAX];
	uint32_t written[HELD_MAX];
	unsigned int n; /* fetched */
	unsigned int n_done; /* of these, to be completed */
	unsigned int n_frames; /* taken, and not looped back before the fetch */
};

struct burst {
	struct net_dev *net;
	uint16_t rx_idx;
	bool is_active;
	uint8_t mac[6]; /* as it was when the burst began */
	struct receive rx;
	struct net_counters count; /* added to the device's at the end */
};

enum verdict {
	FRAME_TAKEN,
	FRAME_BAD,
	FRAME_NOT_OURS,
};

static uint32_t frame_bytes(const struct vq_chain *tx)
{
	return tx->readable_bytes - (uint32_t)NET_HDR_BYTES;
}

static enum verdict look_at(const struct burst *b, const struct vq_chain *tx)
{
	const uint8_t *dst;
	uint8_t copy[6];

	if (tx->is_faulty ||
	    tx->readable_bytes < NET_HDR_BYTES + NET_FRAME_MIN ||
	    tx->readable_bytes > NET_HDR_BYTES + NET_FRAME_MAX) {
		return FRAME_BAD;
	}
	if (tx->n_readable == 1) {
		dst = (const uint8_t *)tx->iov[0].iov_base + NET_HDR_BYTES;
	} else {
		/* It is not faulty and long enough. */
		(void)vq_chain_read(tx, NET_HDR_BYTES, copy, sizeof(copy));
		dst = copy;
	}
	return b->is_active && net_accepts(b->mac, dst) ? FRAME_TAKEN
							: FRAME_NOT_OURS;
}

/* ---- receive chains ---- */

/* What was completed is the driver's; what is held moves to the front. */
static void receive_flush(struct burst *b)
{
	struct receive *rx = &b->rx;

	soft_complete_all(&b->net->soft, b->rx_idx, rx->chains, rx->written,
			  rx->n_done);
	rx->n -= rx->n_done;
	memmove(rx->chains, rx->chains + rx->n_done,
		rx->n * sizeof(rx->chains[0]));
	rx->n_done = 0;
}

/* Another fetch: as many chains as frames are left. Return: are there any? */
static bool receive_fetch(struct burst *b)
{
	struct receive *rx = &b->rx;
	unsigned int n;

	receive_flush(b);
	assert(rx->n < FRAME_CHAINS_MAX);
	assert(rx->n_frames <= SOFT_BURST);
	n = soft_fetch(&b->net->soft, b->rx_idx, rx->chains + rx->n,
		       rx->n_frames);
	rx->n += n;
	return n > 0;
}

/*
 * Finds chains that hold a frame of @need bytes, header included: those from
 * n_done on. Return: how many; -ENOBUFS; -EMSGSIZE: the next *ret_n are of no
 * use
 */
static int receive_take(struct burst *b, uint32_t need, unsigned int *ret_n)
{
	bool is_merging =
		has_bit(soft_features(&b->net->soft), VIRTIO_NET_F_MRG_RXBUF);
	unsigned int max = is_merging ? FRAME_CHAINS_MAX : 1;
	struct receive *rx = &b->rx;
	uint32_t room = 0;
	unsigned int n;

	for (n = 0; n < max && room < need; n++) {
		const struct vq_chain *chain;

		if (rx->n_done + n == rx->n && !receive_fetch(b)) {
			return -ENOBUFS;
		}
		chain = rx->chains[rx->n_done + n];
		*ret_n = n + 1;
		room += min_of(chain->writable_bytes, need - room);
		/* The header must lie in the first chain. */
		if (chain->is_faulty || (n == 0 && room < NET_HDR_BYTES)) {
			return -EMSGSIZE;
		}
	}
	return room < need ? -EMSGSIZE : (int)n;
}

/* Buffers that can hold nothing: back to the driver, empty, or they would be
 * in the way of every later frame. */
static void receive_waste(struct receive *rx, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		rx->written[rx->n_done++] = 0;
	}
}

/*
 * One piece to one piece; both were measured. The memory is the drivers', and
 * may overlap. The header is a constant, not put together on the stack: reading
 * that back waits until all earlier stores are done, the last frame's too, whose
 * lines are still on their way from the driver's CPU.
 */
static void fill_plain(struct receive *rx, const struct vq_chain *tx)
{
	static const uint8_t hdr[NET_HDR_BYTES] = {
		[offsetof(struct virtio_net_hdr_v1, num_buffers)] = 1,
	};
	char *to = rx->chains[rx->n_done]->iov[0].iov_base;
	const char *from = tx->iov[0].iov_base;

	memcpy(to, hdr, NET_HDR_BYTES);
	memmove(to + NET_HDR_BYTES, from + NET_HDR_BYTES, frame_bytes(tx));
	rx->written[rx->n_done++] = tx->readable_bytes;
}

static void fill_pieces(struct receive *rx, unsigned int n,
			const struct vq_chain *tx)
{
	const struct virtio_net_hdr_v1 hdr = {
		.num_buffers = htole16((uint16_t)n),
	};
	uint32_t off = NET_HDR_BYTES, done = NET_HDR_BYTES;

	/* Nothing is faulty, and all ranges were measured. */
	(void)vq_chain_write(rx->chains[rx->n_done], 0, &hdr, NET_HDR_BYTES);
	for (unsigned int i = 0; i < n; i++) {
		struct vq_chain *chain = rx->chains[rx->n_done];
		uint32_t len = min_of(chain->writable_bytes - off,
				      tx->readable_bytes - done);

		(void)vq_chain_copy(chain, off, tx, done, len);
		rx->written[rx->n_done++] = off + len;
		done += len;
		off = 0;
	}
}

/* ---- frames ---- */

/* The usual case: the next chain is there, of one piece, and holds it all. */
static bool loop_back_plain(struct burst *b, const struct vq_chain *tx)
{
	struct receive *rx = &b->rx;
	const struct vq_chain *chain;

	if (rx->n_done == rx->n) {
		return false;
	}
	chain = rx->chains[rx->n_done];
	if (tx->n_readable != 1 || chain->n_readable != 0 ||
	    chain->n_writable != 1 || chain->is_faulty ||
	    chain->writable_bytes < tx->readable_bytes) {
		return false;
	}
	fill_plain(rx, tx);
	return true;
}

/* Return: false: it has to wait. */
static bool loop_back(struct burst *b, const struct vq_chain *tx)
{
	struct receive *rx = &b->rx;
	unsigned int n_bad = 0;
	int n = receive_take(b, tx->readable_bytes, &n_bad);

	if (n == -ENOBUFS && soft_is_waiting(&b->net->soft, b->rx_idx)) {
		return false;
	}
	if (n == -ENOBUFS) {
		b->count.rx_overruns++;
	} else if (n < 0) {
		receive_waste(rx, n_bad);
		b->count.rx_errors++;
	} else {
		fill_pieces(rx, (unsigned int)n, tx);
		b->count.rx_packets++;
		b->count.rx_bytes += frame_bytes(tx);
	}
	return true;
}

/* Those that were taken; receive chains are fetched for all that are left.
 * Return: how many; the others have to wait. */
static unsigned int loop_back_all(struct burst *b, struct vq_chain **taken,
				  unsigned int n)
{
	unsigned int n_plain = 0, i;
	uint64_t n_bytes = 0;

	b->rx.n_frames = n;
	(void)receive_fetch(b); /* what is missing is met below */
	for (i = 0; i < n; i++) {
		if (loop_back_plain(b, taken[i])) {
			n_plain++;
			n_bytes += frame_bytes(taken[i]);
			continue;
		}
		b->rx.n_frames = n - i;
		if (!loop_back(b, taken[i])) {
			break;
		}
	}
	b->count.rx_packets += n_plain;
	b->count.rx_bytes += n_bytes;
	return i;
}

/* Return: how many frames are to come back, and which. */
static unsigned int sort_out(struct burst *b, struct vq_chain **chains,
			     unsigned int n, struct vq_chain **ret_taken)
{
	unsigned int n_taken = 0, n_sent = 0;
	uint64_t n_bytes = 0;

	for (unsigned int i = 0; i < n; i++) {
		enum verdict verdict = look_at(b, chains[i]);

		if (verdict == FRAME_BAD) {
			continue;
		}
		n_sent++;
		n_bytes += frame_bytes(chains[i]);
		if (verdict == FRAME_TAKEN) {
			ret_taken[n_taken++] = chains[i];
		}
	}
	b->count.tx_packets = n_sent;
	b->count.tx_bytes = n_bytes;
	b->count.tx_errors = n - n_sent;
	b->count.rx_drops = n_sent - n_taken;
	return n_taken;
}

/* Gives back @first and what came after it: the budget is 0 until the receive
 * queue can go on. Return: how many chains of the burst are left. */
static unsigned int wait_from(struct burst *b, uint16_t tx_idx,
			      struct vq_chain **chains, unsigned int n,
			      const struct vq_chain *first)
{
	struct vq_chain *taken[SOFT_BURST];
	unsigned int left = 0;

	while (chains[left] != first) {
		left++;
	}
	soft_unfetch(&b->net->soft, tx_idx, n - left);
	(void)sort_out(b, chains, left, taken); /* counts anew */
	return left;
}

static void loopback_submit(struct net_dev *net, uint16_t pair,
			    struct vq_chain **chains, unsigned int n)
{
	struct vq_chain *taken[SOFT_BURST];
	unsigned int n_taken, n_done = 0;
	struct burst b;

	assert(n <= SOFT_BURST);
	b.net = net;
	b.rx_idx = net_rx_idx(pair);
	b.is_active = net_is_active(net, pair);
	net_get_mac(net, b.mac);
	b.rx.n = 0;
	b.rx.n_done = 0;
	memset(&b.count, 0, sizeof(b.count));
	n_taken = sort_out(&b, chains, n, taken);
	if (n_taken > 0) {
		n_done = loop_back_all(&b, taken, n_taken);
		receive_flush(&b);
		soft_unfetch(&net->soft, b.rx_idx, b.rx.n);
	}
	if (unlikely(n_done < n_taken)) {
		n = wait_from(&b, net_tx_idx(pair), chains, n, taken[n_done]);
	}
	soft_complete_all(&net->soft, net_tx_idx(pair), chains, NULL, n);
	net_count_all(net, pair, &b.count);
}

/* Frames wait until there is a receive queue at all, whose memory is mapped. */
static unsigned int loopback_budget(struct net_dev *net, uint16_t pair)
{
	uint16_t rx_idx = net_rx_idx(pair);

	return soft_is_running(&net->soft, rx_idx) &&
			       !soft_is_waiting(&net->soft, rx_idx)
		       ? SOFT_BURST
		       : 0;
}

/* Nobody is on this network but the driver: there is no one to tell, and no one
 * who could send to an old place. It is counted. */
static int loopback_announce(struct net_dev *net, const uint8_t mac[6])
{
	(void)mac;
	net_count(&net->pairs[0].counters.tx_announces, 1);
	return 0;
}

const struct net_backend net_backend_loopback = {
	.name = "loopback",
	.submit = loopback_submit,
	.budget = loopback_budget,
	.announce = loopback_announce,
};
