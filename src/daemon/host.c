/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon around one vdpakit.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "daemon/host.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/unix.h"
#include "daemon/listen.h"
#include "daemon/notify.h"
#include "mgmt/devspec.h"
#include "mgmt/netlink.h"
#include "mgmt/objects_json.h"
#include "mgmt/rpc.h"

struct host {
	struct host_options options;
	struct instance *kit;
	struct loop *control;
	struct rpc_ctx ctx;
	struct rpc *rpc;
	struct netlink *netlink;
	struct cdev_preload *preload;
	struct unix_listener rpc_listener;
	struct unix_listener preload_listener;
	int signal_fd;
	struct loop_watch *signal_watch;
	struct loop_watch *private_watch;
	unsigned int n_devs;
};

static bool is_private(const struct host *host)
{
	return host->options.private_fd >= 0;
}

/* ---- what ends it ---- */

static void stop(struct host *host, const char *why)
{
	log_info(HOST_TAG, "stopping: %s", why);
	loop_stop(host->control);
}

static void on_signal(void *priv, unsigned int events)
{
	struct host *host = priv;
	struct signalfd_siginfo info;

	if (read(host->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		stop(host, strsignal((int)info.ssi_signo));
	}
}

static void on_private(void *priv, unsigned int events)
{
	struct host *host = priv;
	char byte;

	/* The owner says nothing; what comes is the end. */
	if (recv(host->options.private_fd, &byte, 1, MSG_DONTWAIT) > 0) {
		return;
	}
	if (errno != EAGAIN || (events & LOOP_HUP)) {
		stop(host, "the owner has ended");
	}
}

static void on_shutdown(void *priv)
{
	stop(priv, "asked to");
}

static int watch_signals(struct host *host)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
		return err(-errno, "signals: %s", strerror(errno));
	}
	host->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (host->signal_fd < 0) {
		return err(-errno, "signalfd: %s", strerror(errno));
	}
	return 0;
}

/* ---- status ---- */

static bool put_rpc_stats(json_t *obj, const struct rpc *rpc)
{
	struct rpc_stats s;
	bool ok;

	rpc_get_stats(rpc, &s);
	ok = json_put(obj, "rpc_connections", json_u64(s.n_conns));
	ok &= json_put(obj, "rpc_accepted", json_u64(s.n_accepted));
	ok &= json_put(obj, "rpc_refused", json_u64(s.n_refused));
	ok &= json_put(obj, "rpc_cut", json_u64(s.n_cut));
	ok &= json_put(obj, "rpc_requests", json_u64(s.n_requests));
	ok &= json_put(obj, "rpc_errors", json_u64(s.n_errors));
	ok &= json_put(obj, "rpc_bad_messages", json_u64(s.n_bad));
	return ok;
}

static bool put_preload_stats(json_t *obj, const struct cdev_preload *preload)
{
	struct cdev_preload_stats s;
	bool ok;

	cdev_preload_get_stats(preload, &s);
	ok = json_put(obj, "open_files", json_u64(s.n_files));
	ok &= json_put(obj, "preload_connections", json_u64(s.n_conns));
	ok &= json_put(obj, "preload_tasks", json_u64(s.n_tasks));
	ok &= json_put(obj, "preload_accepted", json_u64(s.n_accepted));
	ok &= json_put(obj, "preload_refused", json_u64(s.n_refused));
	ok &= json_put(obj, "preload_late", json_u64(s.n_late));
	ok &= json_put(obj, "preload_cut", json_u64(s.n_cut_off));
	ok &= json_put(obj, "preload_calls", json_u64(s.n_calls));
	ok &= json_put(obj, "preload_raw_writes", json_u64(s.n_raw_writes));
	ok &= json_put(obj, "preload_raw_errors", json_u64(s.n_raw_errors));
	return ok;
}

static bool on_status(void *priv, json_t *obj)
{
	struct host *host = priv;
	struct netlink_stats s;
	bool ok = json_put(obj, "private", json_boolean(is_private(host)));

	ok &= put_preload_stats(obj, host->preload);
	ok &= put_rpc_stats(obj, host->rpc);
	netlink_get_stats(host->netlink, &s);
	ok &= json_put(obj, "netlink_requests", json_u64(s.n_requests));
	ok &= json_put(obj, "netlink_errors", json_u64(s.n_errors));
	return ok;
}

static void on_event(void *priv, const char *dev, const char *what)
{
	log_info(dev, "%s", what);
}

/* ---- life ---- */

/* Where its sockets are; what belongs to one process does not outlive it. */
static int find_run_dir(const struct host *host, char **ret)
{
	char *slash;

	*ret = NULL;
	if (is_private(host)) {
		return 0;
	}
	*ret = strdup(host->options.rpc_path);
	if (!*ret) {
		return err(-ENOMEM, "out of memory");
	}
	slash = strrchr(*ret, '/');
	if ((*ret)[0] == '/' && slash > *ret) {
		*slash = '\0';
	} else {
		free(steal_ptr(*ret)); /* a path to here is no place to keep */
	}
	return 0;
}

static int make_instance(struct host *host)
{
	_cleanup_free_ char *run_dir = NULL;
	struct instance_options options = {
		.n_workers = host->options.n_workers,
		.loop = host->options.loop,
	};
	int r = find_run_dir(host, &run_dir);

	if (r == 0) {
		options.run_dir = run_dir;
		r = instance_new(&options, &host->kit);
	}
	if (r < 0) {
		return r;
	}
	host->control = instance_control(host->kit);
	host->ctx.kit = host->kit;
	host->ctx.start_ns = loop_now_ns(host->control);
	host->ctx.host.status = on_status;
	host->ctx.host.shutdown = is_private(host) ? on_shutdown : NULL;
	host->ctx.host.priv = host;
	host->ctx.events.fn = on_event;
	return netlink_new(instance_bus(host->kit), &host->ctx.events,
			   &host->netlink);
}

int host_new(const struct host_options *options, struct host **ret)
{
	struct host *host = calloc(1, sizeof(*host));
	int r;

	if (!host) {
		return err(-ENOMEM, "out of memory");
	}
	host->options = *options;
	host->signal_fd = -1;
	/* Before there are threads, so that all of them block these signals. */
	r = watch_signals(host);
	if (r == 0) {
		r = make_instance(host);
	}
	if (r == 0) {
		r = loop_watch_new(host->control, host->signal_fd, LOOP_IN,
				   on_signal, host, &host->signal_watch);
	}
	if (r == 0 && is_private(host)) {
		r = loop_watch_new(host->control, options->private_fd, LOOP_IN,
				   on_private, host, &host->private_watch);
	}
	if (r < 0) {
		host_free(host);
		return r;
	}
	*ret = host;
	return 0;
}

/* A private daemon's sockets lie in a folder of their own. */
static void remove_private_folder(const char *rpc_path)
{
	char lock[sizeof(((struct unix_listener *)0)->path) + 8];
	char *slash;

	(void)snprintf(lock, sizeof(lock) - 8, "%s", rpc_path);
	slash = strrchr(lock, '/');
	if (!slash) {
		return;
	}
	memcpy(slash, "/lock", sizeof("/lock"));
	(void)unlink(lock); /* the owner may have been faster */
	*slash = '\0';
	(void)rmdir(lock); /* not empty: it was no folder of its own */
}

struct host *host_free(struct host *host)
{
	if (!host) {
		return NULL;
	}
	if (is_private(host) && host->preload) {
		/* They would serve nobody, and never hear of it. */
		cdev_preload_end_users(host->preload, "vduse");
	}
	cdev_preload_free(host->preload);
	rpc_free(host->rpc);
	netlink_free(host->netlink);
	loop_watch_free(host->private_watch);
	loop_watch_free(host->signal_watch);
	instance_free(host->kit);
	unix_listen_end(&host->preload_listener);
	unix_listen_end(&host->rpc_listener);
	if (is_private(host)) {
		remove_private_folder(host->options.rpc_path);
	}
	(void)close_fd(host->signal_fd);
	(void)close_fd(host->options.private_fd);
	free(host);
	return NULL;
}

/* ---- devices ---- */

struct outcome {
	int code;
	char text[ERR_TEXT_MAX];
	struct loop_done *waiter; /* for it; NULL: nobody */
};

static void keep_outcome(void *priv, int code, const char *text, json_t *result)
{
	struct outcome *outcome = priv;

	outcome->code = code;
	(void)snprintf(outcome->text, sizeof(outcome->text), "%s",
		       text ? text : "");
	if (outcome->waiter) {
		loop_done(outcome->waiter);
	}
}

static void await_outcome(void *priv, struct loop_done *done)
{
	struct outcome *outcome = priv;

	outcome->waiter = done;
}

/* Before the loop runs: where the answer takes time, it does meanwhile. */
static int invoke(struct host *host, const char *method, json_t *params)
{
	struct outcome outcome = { .code = EINPROGRESS };

	rpc_invoke(&host->ctx, method, params, true, keep_outcome, &outcome);
	if (outcome.code == EINPROGRESS) {
		loop_call_until(host->control, await_outcome, &outcome);
	}
	return outcome.code == 0
		       ? 0
		       : err(outcome.code > 0 ? -outcome.code : -EINVAL, "%s",
			     outcome.text);
}

int host_add(struct host *host, const char *spec)
{
	json_t *params = NULL, *bind = NULL;
	int r = devspec_from_text(spec, &params);

	if (r == 0) {
		r = devspec_take_bind(params, &bind);
	}
	/* Clients that are to come may have to make it first. */
	if (r == 0 && json_object_set_new(params, "wait", json_integer(0))) {
		r = err(-ENOMEM, "out of memory");
	}
	if (r == 0) {
		r = invoke(host, "dev.add", params);
		host->n_devs += r == 0;
	}
	if (r == 0 && bind) {
		r = invoke(host, "dev.bind", bind);
	}
	json_decref(params);
	json_decref(bind);
	return err_context(r, "--dev '%s'", spec);
}

int host_set(struct host *host, const char *spec)
{
	json_t *params = NULL;
	int r = devspec_mgmtdev_from_text(spec, &params);

	if (r == 0) {
		r = invoke(host, "mgmtdev.set", params);
	}
	json_decref(params);
	return err_context(r, "--mgmtdev '%s'", spec);
}

/* ---- sockets ---- */

static int open_socket(int activated_fd, const char *path, int type,
		       struct unix_listener *listener, int *ret_fd)
{
	int r;

	if (activated_fd >= 0) {
		*ret_fd = activated_fd;
		return 0;
	}
	r = unix_listen(path, type, 0600, listener);
	if (r == 0) {
		*ret_fd = steal_fd(&listener->fd);
	}
	return r;
}

int host_serve(struct host *host)
{
	struct cdev_netlink_ops ops = netlink_ops(host->netlink);
	_cleanup_close_ int stream = -1, seqpacket = -1;
	int r, fd = -1;

	r = listen_take_activated(&stream, &seqpacket);
	if (r < 0) {
		return r;
	}
	r = open_socket(steal_fd(&seqpacket), host->options.preload_path,
			SOCK_SEQPACKET, &host->preload_listener, &fd);
	if (r == 0) {
		r = cdev_preload_new(instance_cdev(host->kit), fd, &ops,
				     &host->preload);
	}
	if (r < 0) {
		return r;
	}
	r = open_socket(steal_fd(&stream), host->options.rpc_path, SOCK_STREAM,
			&host->rpc_listener, &fd);
	return r < 0 ? r : rpc_new(&host->ctx, fd, &host->rpc);
}

/* ---- running ---- */

static void log_if(int r)
{
	if (r < 0) {
		log_warn(HOST_TAG, "ignoring: %s", err_text(r));
	}
}

int host_run(struct host *host)
{
	static const char ready[] = "READY\n";
	int r;

	log_info(HOST_TAG, "ready: version %s, %u workers on %s, %u devices",
		 VDPAKIT_VERSION, instance_n_workers(host->kit),
		 loop_backend(host->control), host->n_devs);
	log_if(notify("READY=1\nSTATUS=%u devices at start", host->n_devs));
	if (is_private(host) && send(host->options.private_fd, ready,
				     sizeof(ready) - 1, MSG_NOSIGNAL) < 0) {
		return err(-errno, "the owner has ended: %s", strerror(errno));
	}
	r = loop_run(host->control);
	log_if(notify("STOPPING=1\nSTATUS=stopping"));
	return r;
}
