/*
 * The command table and everything derived from it.
 */
#include "command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define ACCOUNT_OPTIONS \
	(OPTION_SERVER | OPTION_USER | OPTION_PASSWORD_FILE | OPTION_DEVICE | OPTION_RECOVERY_FILE)

#define RECOVER_OPTIONS \
	(OPTION_SERVER | OPTION_WORDS_FILE | OPTION_PASSWORD_FILE | OPTION_DEVICE | OPTION_RECOVERY_FILE)

static const struct command commands[] = {
	{ "signup", NULL, NULL, ACCOUNT_OPTIONS, OPTION_SERVER | OPTION_USER,
	  "create an account and sign this device in", signup_run },
	{ "login", NULL, NULL, ACCOUNT_OPTIONS, OPTION_SERVER | OPTION_USER, "sign this device in to an account",
	  login_run },
	{ "logout", NULL, NULL, 0, 0, "sign this device out", logout_run },
	{ "whoami", NULL, NULL, 0, 0, "show who this device is signed in as", whoami_run },
	{ "recover", NULL, NULL, RECOVER_OPTIONS, OPTION_SERVER,
	  "get an account back with its 24 recovery words, and set a new password", recover_run },
	{ "recovery create", NULL, NULL, OPTION_PASSWORD_FILE | OPTION_RECOVERY_FILE, 0,
	  "make new recovery words; the old ones stop working", recovery_create_run },
	{ "recovery test", NULL, NULL, OPTION_WORDS_FILE, 0, "try the recovery words without using them up",
	  recovery_test_run },
	{ "passwd", NULL, NULL, OPTION_PASSWORD_FILE | OPTION_NEW_PASSWORD_FILE, 0, "change the password", passwd_run },
	{ "device list", NULL, NULL, 0, 0, "show the devices of the account", device_list_run },
	{ "device revoke", "NAME-OR-ID", NULL, OPTION_PASSWORD_FILE | OPTION_WORDS | OPTION_WORDS_FILE, 0,
	  "remove a device from the account", device_revoke_run },
	{ "device rename", "NAME-OR-ID", "NEW-NAME", 0, 0, "give a device another name", device_rename_run },
	{ "mount", "PATH", NULL, 0, 0, "mount the vault at an empty folder", mount_run },
	{ "unmount", NULL, NULL, 0, 0, "unmount the vault", unmount_run },
	{ "status", NULL, NULL, 0, 0, "show what is safe and what is on its way", status_run },
	{ "wait", NULL, NULL, OPTION_TIMEOUT, 0, "wait until everything is synced", wait_run },
	{ "conflicts list", NULL, NULL, 0, 0, "show what two devices wrote at once", conflicts_list_run },
	{ "conflicts keep", "mine|theirs|newest|oldest|both", "PATH", 0, 0, "end a conflict: keep one content or both",
	  conflicts_keep_run },
	{ "deletions list", NULL, NULL, 0, 0, "show mass deletions of other devices that wait", deletions_list_run },
	{ "deletions accept", NULL, NULL, 0, 0, "let them happen on this device too", deletions_accept_run },
	{ "deletions undo", NULL, NULL, 0, 0, "bring the files back on every device", deletions_undo_run },
	{ "pin", "PATH", NULL, 0, 0, "keep a file or folder on this device, also offline", pin_run },
	{ "unpin", "PATH", NULL, 0, 0, "let it go again when the room is needed", unpin_run },
	{ "evict", "PATH", NULL, OPTION_ALWAYS, 0, "free the room it takes; it comes again when it is read", evict_run },
	{ "version", NULL, NULL, 0, 0, "show the versions of command and daemon", version_run },
};

/* Every option once: its bit (0: allowed everywhere), value name and help. */
static const struct {
	const char *name;
	const char *value;
	unsigned bit;
	const char *help;
} options[] = {
	{ "server", "URL", OPTION_SERVER, "address of the server" },
	{ "user", "NAME", OPTION_USER, "user name" },
	{ "password-file", "FILE", OPTION_PASSWORD_FILE, "read the password from the first line of FILE (- is standard input)" },
	{ "new-password-file", "FILE", OPTION_NEW_PASSWORD_FILE, "read the new password from the first line of FILE" },
	{ "words", NULL, OPTION_WORDS, "use the recovery words instead of the password; works without the server" },
	{ "words-file", "FILE", OPTION_WORDS_FILE, "read the recovery words from FILE (- is standard input)" },
	{ "device", "NAME", OPTION_DEVICE, "name this device is shown under" },
	{ "recovery-file", "FILE", OPTION_RECOVERY_FILE, "write the 24 recovery words to the new FILE" },
	{ "always", NULL, OPTION_ALWAYS, "from now on too: what is read there does not stay" },
	{ "timeout", "SECONDS", OPTION_TIMEOUT, "give up after this long" },
	{ "json", NULL, 0, "print one JSON object" },
	{ "socket", "PATH", 0, "socket of the daemon" },
	{ "help", NULL, 0, "show this help" },
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

bool command_is_group(const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strncmp(commands[i].name, name, len) == 0 && commands[i].name[len] == ' ')
			return true;
	return false;
}

/* Levenshtein distance over short words; longer ones count as far away. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32];
	size_t b_len = strlen(b);
	if (b_len + 1 > ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
		return ARRAY_LEN(row);
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b_len];
}

const char *command_nearest(const char *name)
{
	const char *nearest = NULL;
	size_t least = 3; /* two slips are a typo, three are another word */
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		size_t far = distance(name, commands[i].name);
		/* Of two equally near names, the one with the same first letter: umount is unmount, not mount. */
		if (far < least || (far == least && nearest != NULL && commands[i].name[0] == name[0])) {
			least = far;
			nearest = commands[i].name;
		}
	}
	return nearest;
}

static enum exit_code usage(const struct command *command, const char *what, const char *which)
{
	fprintf(stderr, "freehold: %s: %s%s; see `freehold %s --help`\n", command->name, what, which, command->name);
	return EXIT_USAGE;
}

static bool parse_seconds(const char *text, long *seconds)
{
	char *end = NULL;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < 0)
		return false;
	*seconds = value;
	return true;
}

static bool store(struct request *request, size_t index, const char *value)
{
	switch (options[index].bit) {
	case OPTION_SERVER:
		request->server = value;
		return true;
	case OPTION_USER:
		request->user = value;
		return true;
	case OPTION_PASSWORD_FILE:
		request->password_file = value;
		return true;
	case OPTION_NEW_PASSWORD_FILE:
		request->new_password_file = value;
		return true;
	case OPTION_WORDS:
		request->words = true;
		return true;
	case OPTION_WORDS_FILE:
		request->words_file = value;
		return true;
	case OPTION_DEVICE:
		request->device = value;
		return true;
	case OPTION_RECOVERY_FILE:
		request->recovery_file = value;
		return true;
	case OPTION_ALWAYS:
		request->always = true;
		return true;
	case OPTION_TIMEOUT:
		return parse_seconds(value, &request->timeout_s);
	default:
		break;
	}
	if (strcmp(options[index].name, "json") == 0)
		request->json = true;
	else if (strcmp(options[index].name, "help") == 0)
		request->help = true;
	else
		request->socket = value;
	return true;
}

enum exit_code command_parse(const struct command *command, int argc, char **argv, struct request *request)
{
	struct option table[ARRAY_LEN(options) + 1] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		table[i].name = options[i].name;
		table[i].has_arg = options[i].value != NULL ? required_argument : no_argument;
		table[i].val = (int)i + 1;
	}
	*request = (struct request){ .timeout_s = -1 };
	unsigned given = 0;
	optind = 0; /* glibc: starts afresh, also in tests that parse twice */
	opterr = 0;
	for (int found; (found = getopt_long(argc, argv, ":", table, NULL)) != -1;) {
		if (found == ':')
			return usage(command, "this option needs a value: ", argv[optind - 1]);
		if (found == '?')
			return usage(command, "unknown option ", argv[optind - 1]);
		size_t index = (size_t)found - 1;
		if (options[index].bit != 0 && (command->options & options[index].bit) == 0)
			return usage(command, "takes no option --", options[index].name);
		if (!store(request, index, optarg))
			return usage(command, "not a number of seconds: ", optarg);
		given |= options[index].bit;
	}
	if (request->help)
		return EXIT_DONE;
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if ((command->required & ~given & options[i].bit) != 0)
			return usage(command, "needs --", options[i].name);
	if (command->operand != NULL && optind < argc)
		request->operand = argv[optind++];
	if (command->operand != NULL && request->operand == NULL)
		return usage(command, "needs ", command->operand);
	if (command->operand2 != NULL && optind < argc)
		request->operand2 = argv[optind++];
	if (command->operand2 != NULL && request->operand2 == NULL)
		return usage(command, "needs ", command->operand2);
	if (optind < argc)
		return usage(command, "one argument too many: ", argv[optind]);
	return EXIT_DONE;
}

static void option_help(unsigned allowed)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].bit != 0 && (allowed & options[i].bit) == 0)
			continue;
		char left[40];
		snprintf(left, sizeof(left), "--%s %s", options[i].name, options[i].value != NULL ? options[i].value : "");
		printf("  %-24s %s\n", left, options[i].help);
	}
}

void command_help(const struct command *command)
{
	printf("usage: freehold %s [OPTIONS]", command->name);
	if (command->operand != NULL)
		printf(" %s", command->operand);
	if (command->operand2 != NULL)
		printf(" %s", command->operand2);
	printf("\n\n%s\n\n", command->summary);
	option_help(command->options);
}

void command_list(const char *group)
{
	size_t len = group != NULL ? strlen(group) : 0;
	printf("usage: freehold %s%sCOMMAND [OPTIONS]\n\n", group != NULL ? group : "", group != NULL ? " " : "");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strncmp(commands[i].name, group != NULL ? group : "", len) == 0 &&
		    (group == NULL || commands[i].name[len] == ' '))
			printf("  %-16s %s\n", commands[i].name, commands[i].summary);
	printf("\n`freehold COMMAND --help` shows the options of one command.\n");
}
