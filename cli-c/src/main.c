/*
 * freehold: the command line of Freehold.
 *
 * It finds the command in the table, parses, runs it and exits with the code of the fixed table. All work
 * is the daemon's; this program holds no keys.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "output.h"
#include "secret.h"

static enum exit_code unknown(const char *name)
{
	const char *nearest = command_nearest(name);
	if (command_is_group(name))
		fprintf(stderr, "freehold: `%s` needs one more word; see `freehold --help`\n", name);
	else if (nearest != NULL)
		fprintf(stderr, "freehold: there is no command `%s`; did you mean `%s`?\n", name, nearest);
	else
		fprintf(stderr, "freehold: there is no command `%s`; see `freehold --help`\n", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "freehold: which command? see `freehold --help`\n");
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		command_help(NULL);
		return output_flush(EXIT_DONE);
	}
	int words = 1;
	const struct command *command =
		strcmp(argv[1], "--version") == 0 ? command_find("version") : command_match(argc - 1, argv + 1, &words);
	if (command == NULL)
		return unknown(argv[1]);
	struct request request;
	enum exit_code code = command_parse(command, argc - words, argv + words, &request);
	if (code != EXIT_DONE)
		return code;
	if (request.help) {
		command_help(command);
		return output_flush(EXIT_DONE);
	}
	secret_wipe_on_free();
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK) {
		fprintf(stderr, "freehold: libcurl could not start\n");
		return EXIT_FAILED;
	}
	code = command->run(&request);
	curl_global_cleanup();
	return output_flush(code);
}
