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
	OPTION_NEW_PASSWORD_FILE = 1u << 6,
	OPTION_WORDS = 1u << 7,
	OPTION_WORDS_FILE = 1u << 8,
	OPTION_ALWAYS = 1u << 9,
};

/* What the user wrote. Pointers are into argv; NULL is "not given". */
struct request {
	bool json;
	bool help;
	const char *socket;
	const char *server;
	const char *user;
	const char *password_file;
	const char *new_password_file;
	const char *words_file;
	bool words;
	bool always;
	const char *device;
	const char *recovery_file;
	long timeout_s; /* -1: not given */
	const char *operand;
	const char *operand2;
};

struct command {
	const char *name; /* one word, or a group and a word */
	const char *operand; /* NULL: takes none */
	const char *operand2;
	unsigned options;
	unsigned required; /* a subset of options */
	const char *summary;
	enum exit_code (*run)(const struct request *request);
};

/* The row of that name, or NULL. */
const struct command *command_find(const char *name);

/* Whether the name is the first word of some commands. */
bool command_is_group(const char *name);

/* The known name nearest to a mistyped one, or NULL when none is near. */
const char *command_nearest(const char *name);

/*
 * Fills `request` from the arguments after the command's name.
 * Returns EXIT_DONE, or EXIT_USAGE after one line on standard error.
 */
enum exit_code command_parse(const struct command *command, int argc, char **argv, struct request *request);

/* Prints the help of one command to standard output. */
void command_help(const struct command *command);

/* Prints the list of the commands of a group, or of all when `group` is NULL, to standard output. */
void command_list(const char *group);

enum exit_code signup_run(const struct request *request);
enum exit_code login_run(const struct request *request);
enum exit_code logout_run(const struct request *request);
enum exit_code whoami_run(const struct request *request);
enum exit_code recover_run(const struct request *request);
enum exit_code recovery_create_run(const struct request *request);
enum exit_code recovery_test_run(const struct request *request);
enum exit_code passwd_run(const struct request *request);
enum exit_code device_list_run(const struct request *request);
enum exit_code device_revoke_run(const struct request *request);
enum exit_code device_rename_run(const struct request *request);
enum exit_code mount_run(const struct request *request);
enum exit_code unmount_run(const struct request *request);
enum exit_code status_run(const struct request *request);
enum exit_code wait_run(const struct request *request);
enum exit_code conflicts_list_run(const struct request *request);
enum exit_code conflicts_keep_run(const struct request *request);
enum exit_code deletions_list_run(const struct request *request);
enum exit_code deletions_accept_run(const struct request *request);
enum exit_code deletions_undo_run(const struct request *request);
enum exit_code pin_run(const struct request *request);
enum exit_code unpin_run(const struct request *request);
enum exit_code evict_run(const struct request *request);
enum exit_code version_run(const struct request *request);

#endif
