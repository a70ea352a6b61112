/*
 * status: what is safe and what is on its way.
 */
#include "status.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "http.h"
#include "output.h"

static const struct {
	const char *state;
	const char *words;
} states[] = {
	{ "signed_out", "not signed in" },
	{ "syncing", "syncing" },
	{ "synced", "everything is synced" },
	{ "offline", "offline; changes are kept here and sent later" },
	{ "attention", "needs attention" },
};

void status_line(const json_t *status, char *line, size_t line_len)
{
	const char *state = member_text(status, "state", "unknown");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(state, states[i].state) == 0)
			state = states[i].words;
	const json_t *pending = json_object_get(status, "pending");
	json_int_t changes = member_number(pending, "files") + member_number(pending, "records") + member_number(pending, "commits");
	json_int_t bytes = member_number(pending, "bytes") + member_number(pending, "chunk_bytes");
	json_int_t incoming = member_number(pending, "remote_commits");
	char size[32];
	format_bytes(bytes, size, sizeof(size));
	if (changes == 0 && bytes == 0 && incoming == 0)
		snprintf(line, line_len, "%s", state);
	else
		snprintf(line, line_len, "%s: %lld changes and %s to send, %lld to receive", state, (long long)changes, size,
			 (long long)incoming);
}

static void print_problems(const json_t *problems)
{
	size_t index;
	json_t *problem;
	json_array_foreach(problems, index, problem)
		printf("%-10s %s; %s\n", index == 0 ? "Attention" : "", member_text(problem, "message", "?"),
		       member_text(problem, "hint", "see the daemon's log"));
}

static void print_pinned(const json_t *pinned)
{
	char size[32];
	json_int_t missing = member_number(pinned, "missing_files");
	if (member_number(pinned, "files") == 0)
		return;
	printf("Pinned     %lld files", (long long)member_number(pinned, "files"));
	format_bytes(member_number(pinned, "missing_bytes"), size, sizeof(size));
	if (missing > 0)
		printf(", %lld of them (%s) still to come", (long long)missing, size);
	putchar('\n');
}

static void print_status(const json_t *status)
{
	char line[256];
	char cache[32];
	status_line(status, line, sizeof(line));
	format_bytes(member_number(status, "cache_bytes"), cache, sizeof(cache));
	printf("Vault      %s\n", member_text(status, "mount", "not mounted"));
	printf("State      %s\n", line);
	if (member_text(status, "user", NULL) != NULL) {
		printf("Account    %s at %s, device %s\n", member_text(status, "user", "?"), member_text(status, "server", "?"),
		       member_text(status, "device_name", "?"));
		printf("Server     %s\n", json_is_true(json_object_get(status, "server_reachable")) ? "reachable" : "not reachable");
		printf("Nodes      %lld of %lld reachable\n", (long long)member_number(status, "nodes_reachable"),
		       (long long)member_number(status, "nodes"));
		printf("Devices    %lld connected directly\n", (long long)member_number(status, "devices_connected"));
		printf("Holds      %lld entries, %s of sealed data on this device\n", (long long)member_number(status, "entries"),
		       cache);
		print_pinned(json_object_get(status, "pinned"));
	}
	print_problems(json_object_get(status, "problems"));
}

enum exit_code status_run(const struct request *request)
{
	struct failure failure;
	json_t *answer = NULL;
	enum exit_code code = daemon_call(request, "/v1/status", NULL, 10, &answer, &failure);
	if (code != EXIT_DONE)
		output_failure(request->json, &failure);
	else if (request->json)
		output_json(answer, NULL);
	else
		print_status(answer);
	json_decref(answer);
	return code;
}
