/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command's side of the RPC socket.
 *
 * Copyright (c) 2026, the vdpakit authors
 */
#include "cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"

/* More than the daemon ever sends. */
#define ANSWER_MAX (64U << 20)
#define CALL_ID	   1

int client_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		return err(-ENAMETOOLONG, "%s: too long for a socket's path",
			   path);
	}
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return err(-errno, "socket: %s", strerror(errno));
	}
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		return err(-errno,
			   "no daemon at %s (%s): start vdpakitd, or name its "
			   "socket with -s, or use `vdpakit run`",
			   path, strerror(errno));
	}
	return steal_fd(&fd);
}

/* One line without its newline, the caller's to free. */
static int read_line(int fd, char **ret)
{
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, size = 0;

	for (;;) {
		char *newline;
		ssize_t n;

		if (len == size) {
			char *bigger;

			size = size ? size * 2 : 65536;
			bigger = size <= ANSWER_MAX ? realloc(buf, size) : NULL;
			if (!bigger) {
				return err(-ENOMEM, "the answer is too long");
			}
			buf = bigger;
		}
		n = read(fd, buf + len, size - len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return err(-ECONNRESET, "the daemon has ended");
		}
		newline = memchr(buf + len, '\n', (size_t)n);
		len += (size_t)n;
		if (newline) {
			*newline = '\0';
			*ret = steal_ptr(buf);
			return 0;
		}
	}
}

/* All of it; a daemon that has gone is an error, not a signal. */
static int send_all(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR) {
			return err(-errno, "the daemon does not listen: %s",
				   strerror(errno));
		}
		buf += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int send_call(int fd, const char *method, json_t *params)
{
	_cleanup_free_ char *line = NULL;
	json_t *call = json_pack("{s:s,s:i,s:s,s:O*}", "jsonrpc", "2.0", "id",
				 CALL_ID, "method", method, "params", params);
	int r;

	line = call ? json_dumps(call, JSON_COMPACT) : NULL;
	json_decref(call);
	if (!line) {
		return err(-ENOMEM, "out of memory");
	}
	r = send_all(fd, line, strlen(line));
	return r < 0 ? r : send_all(fd, "\n", 1);
}

/* Takes an answer apart. */
static int take_answer(json_t *answer, json_t **ret)
{
	json_t *result = json_object_get(answer, "result");
	json_t *error = json_object_get(answer, "error");
	const char *text = json_string_value(json_object_get(error, "message"));
	json_int_t code = json_integer_value(json_object_get(error, "code"));

	if (error && text) {
		/* Negative codes are JSON-RPC's: what was asked is wrong. */
		return err(code > 0 && code < 4096 ? -(int)code : -EINVAL, "%s",
			   text);
	}
	if (!result) {
		return err(-EPROTO, "what answers is no vdpakitd");
	}
	if (ret) {
		*ret = json_incref(result);
	}
	return 0;
}

int client_call(int fd, const char *method, json_t *params, json_t **ret)
{
	_cleanup_free_ char *line = NULL;
	json_t *answer;
	int r = send_call(fd, method, params);

	if (r == 0) {
		r = read_line(fd, &line);
	}
	if (r < 0) {
		return r;
	}
	answer = json_loads(line, 0, NULL);
	r = take_answer(answer, ret);
	json_decref(answer);
	return r;
}
