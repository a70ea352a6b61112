/*
 * wait: until everything local is placed and numbered and everything remote known is applied.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "http.h"
#include "output.h"
#include "status.h"

/* The daemon is asked in slices, so that a person sees progress. */
#define SLICE_S 2L

static long seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void show_progress(const struct request *request)
{
	if (!isatty(STDERR_FILENO))
		return;
	struct failure ignored;
	json_t *status = NULL;
	if (daemon_call(request, "/v1/status", NULL, 10, &status, &ignored) == EXIT_DONE) {
		char line[256];
		status_line(status, line, sizeof(line));
		fprintf(stderr, "\r\033[K%s", line);
	}
	json_decref(status);
}

enum exit_code wait_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code;
	long begin = seconds_now();
	do {
		long left = request->timeout_s < 0 ? SLICE_S : request->timeout_s - (seconds_now() - begin);
		long slice = left < SLICE_S ? left : SLICE_S;
		json_t *body = json_pack("{s:I}", "timeout_s", (json_int_t)(slice < 0 ? 0 : slice));
		code = daemon_call(request, "/v1/wait", body, SLICE_S + 30, &answer, &failure);
		json_decref(body);
		if (code != EXIT_TIMED_OUT)
			break;
		show_progress(request);
	} while (request->timeout_s < 0 || seconds_now() - begin < request->timeout_s);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		printf("Everything is synced\n");
	json_decref(answer);
	return code;
}
