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

#define NAME_LEN 64

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

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* Writes the name the user means: of a group, the first word and the second. Returns the words it has. */
static int command_name(int argc, char **argv, char name[static NAME_LEN])
{
	const char *first = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
	bool two = command_is_group(first) && argc > 2 && argv[2][0] != '-';
	snprintf(name, NAME_LEN, "%s%s%s", first, two ? " " : "", two ? argv[2] : "");
	return two ? 2 : 1;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "freehold: which command? see `freehold --help`\n");
		return EXIT_USAGE;
	}
	if (is_help(argv[1])) {
		command_list(NULL);
		return output_flush(EXIT_DONE);
	}
	char name[NAME_LEN];
	int words = command_name(argc, argv, name);
	if (command_is_group(name)) {
		if (argc > 2 && is_help(argv[2])) {
			command_list(name);
			return output_flush(EXIT_DONE);
		}
		fprintf(stderr, "freehold: %s: which command? see `freehold %s --help`\n", name, name);
		return EXIT_USAGE;
	}
	const struct command *command = command_find(name);
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
