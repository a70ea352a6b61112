/* Answers of the daemon, from a real Unix socket that plays it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "http.h"

/* Serves one connection with `answer` from a child process and returns what daemon_call makes of it. */
static enum exit_code exchange(const char *answer, json_t **json, struct failure *failure)
{
	char dir[] = "/tmp/freehold-http-XXXXXX";
	assert_non_null(mkdtemp(dir));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	pid_t child = fork();
	if (child == 0) {
		char request[4096];
		int connection = accept(listener, NULL, NULL);
		ssize_t got = read(connection, request, sizeof(request));
		ssize_t sent = write(connection, answer, strlen(answer));
		close(connection);
		_exit(got > 0 && sent > 0 ? 0 : 1);
	}
	close(listener);
	struct request request = { .socket = address.sun_path };
	*json = NULL;
	enum exit_code code = daemon_call(&request, "/v1/status", NULL, 10, json, failure);
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	unlink(address.sun_path);
	rmdir(dir);
	return code;
}

static void an_answer_becomes_json(void **state)
{
	(void)state;
	struct failure failure;
	json_t *json;
	assert_int_equal(exchange("HTTP/1.1 200 OK\r\nfreehold-control: 1\r\nContent-Length: 9\r\n\r\n{\"a\": 42}", &json, &failure),
			 EXIT_DONE);
	assert_int_equal(member_number(json, "a"), 42);
	json_decref(json);
}

static void an_error_keeps_its_exit_code_and_words(void **state)
{
	(void)state;
	struct failure failure;
	json_t *json;
	assert_int_equal(exchange("HTTP/1.1 409 Conflict\r\nfreehold-control: 1\r\nConnection: close\r\n\r\n"
				  "{\"code\":\"busy\",\"message\":\"m\",\"hint\":\"h\",\"retryable\":true,\"exit\":6}",
				  &json, &failure),
			 EXIT_CONFLICT);
	assert_string_equal(failure.code, "busy");
	assert_true(failure.retryable);
}

static void another_control_version_is_a_mismatch(void **state)
{
	(void)state;
	struct failure failure;
	json_t *json;
	assert_int_equal(exchange("HTTP/1.1 200 OK\r\nfreehold-control: 2\r\nContent-Length: 2\r\n\r\n{}", &json, &failure),
			 EXIT_VERSION_MISMATCH);
	assert_int_equal(exchange("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", &json, &failure), EXIT_VERSION_MISMATCH);
}

static void nonsense_from_the_daemon_is_a_plain_failure(void **state)
{
	(void)state;
	struct failure failure;
	json_t *json;
	assert_int_equal(exchange("HTTP/1.1 200 OK\r\nfreehold-control: 1\r\nContent-Length: 4\r\n\r\nnope", &json, &failure),
			 EXIT_FAILED);
	static const char *const bodies[] = { "", "[]", "{", "{\"exit\":0}", "{\"exit\":99}", "{\"exit\":\"9\"}", "\xff\xff" };
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		assert_int_equal(daemon_error(bodies[i], strlen(bodies[i]), 500, &failure), EXIT_FAILED);
}

static void no_socket_means_no_daemon(void **state)
{
	(void)state;
	struct failure failure;
	json_t *json = NULL;
	struct request request = { .socket = "/nonexistent/s" };
	assert_int_equal(daemon_call(&request, "/v1/status", NULL, 10, &json, &failure), EXIT_NO_DAEMON);
}

static void byte_counts_read_like_people_write_them(void **state)
{
	(void)state;
	static const struct {
		json_int_t bytes;
		const char *text;
	} rows[] = { { 0, "0 B" }, { 1023, "1023 B" }, { 1536, "1.5 KiB" }, { 10485760, "10 MiB" }, { 1LL << 40, "1.0 TiB" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[32];
		format_bytes(rows[i].bytes, text, sizeof(text));
		assert_string_equal(text, rows[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_becomes_json),
		cmocka_unit_test(an_error_keeps_its_exit_code_and_words),
		cmocka_unit_test(another_control_version_is_a_mismatch),
		cmocka_unit_test(nonsense_from_the_daemon_is_a_plain_failure),
		cmocka_unit_test(no_socket_means_no_daemon),
		cmocka_unit_test(byte_counts_read_like_people_write_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
