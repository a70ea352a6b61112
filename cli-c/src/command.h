/*
 * The command table: one row a command. Parsing, help and the list of commands all come from it.
 */
#ifndef FREEHOLD_COMMAND_H
#define FREEHOLD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "exit_codes.h"

/* Options a command may take, as bits of `struct command.options`. */
enum option_bit {
	OPTION_SERVER = 1u << 0,
	OPTION_USER = 1u << 1,
	OPTION_PASSWORD_FILE = 1u << 2,
	OPTION_DEVICE = 1u << 3,
	OPTION_RECOVERY_FILE = 1u << 4,
	OPTION_TIMEOUT = 1u << 5,
};

/* What the user wrote. Pointers are into argv; NULL is "not given". */
struct request {
	bool json;
	bool help;
	const char *socket;
	const char *server;
	const char *user;
	const char *password_file;
	const char *device;
	const char *recovery_file;
	long timeout_s; /* -1: not given */
	const char *operand;
	const char *second;
};

struct command {
	const char *name; /* one word, or two: a group and what to do */
	const char *operand; /* NULL: takes none; "A B": takes two */
	unsigned options;
	unsigned required; /* a subset of options */
	const char *summary;
	enum exit_code (*run)(const struct request *request);
};

/* The row of that name, or NULL. */
const struct command *command_find(const char *name);

/* The row that the first words of `argv` name, one or two: `*words` says how many. NULL when none. */
const struct command *command_match(int argc, char **argv, int *words);

/* Whether the word is the first of commands with two. */
bool command_is_group(const char *name);

/* The known name nearest to a mistyped one, or NULL when none is near. */
const char *command_nearest(const char *name);

/*
 * Fills `request` from the arguments after the command's name.
 * Returns EXIT_DONE, or EXIT_USAGE after one line on standard error.
 */
enum exit_code command_parse(const struct command *command, int argc, char **argv, struct request *request);

/* Prints the help of one command, or of all when `command` is NULL, to standard output. */
void command_help(const struct command *command);

enum exit_code signup_run(const struct request *request);
enum exit_code login_run(const struct request *request);
enum exit_code logout_run(const struct request *request);
enum exit_code whoami_run(const struct request *request);
enum exit_code mount_run(const struct request *request);
enum exit_code unmount_run(const struct request *request);
enum exit_code status_run(const struct request *request);
enum exit_code wait_run(const struct request *request);
enum exit_code conflicts_list_run(const struct request *request);
enum exit_code conflicts_keep_run(const struct request *request);
enum exit_code deletions_list_run(const struct request *request);
enum exit_code deletions_accept_run(const struct request *request);
enum exit_code deletions_undo_run(const struct request *request);
enum exit_code version_run(const struct request *request);

#endif
