/*
 * Passwords and recovery words: read from a terminal or a file, wiped when released.
 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

void secret_free(void *block)
{
	if (block == NULL)
		return;
	explicit_bzero(block, malloc_usable_size(block));
	free(block);
}

void secret_wipe_on_free(void)
{
	json_set_alloc_funcs(malloc, secret_free);
}

/* Reads one line without its end. False when it is missing, too long or unreadable (errno says which). */
static bool read_line(FILE *input, char line[static PASSWORD_BYTES_MAX + 2])
{
	errno = 0;
	if (fgets(line, PASSWORD_BYTES_MAX + 2, input) == NULL)
		return false;
	size_t len = strcspn(line, "\n");
	if (line[len] == '\0' && len > PASSWORD_BYTES_MAX) {
		errno = EMSGSIZE;
		return false;
	}
	line[len] = '\0';
	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = '\0';
	return line[0] != '\0';
}

static enum exit_code from_file(const char *file, char *password, struct failure *failure)
{
	char message[512];
	bool standard = strcmp(file, "-") == 0;
	FILE *input = standard ? stdin : fopen(file, "re");
	if (input == NULL) {
		snprintf(message, sizeof(message), "could not open the password file %s: %s", file, strerror(errno));
		return failure_set(failure, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "password_file", message, "");
	}
	/* Unbuffered: no copy of the password stays in the stream's buffer. */
	setvbuf(input, NULL, _IONBF, 0);
	bool read = read_line(input, password);
	int why = errno;
	if (!standard)
		fclose(input);
	if (read)
		return EXIT_DONE;
	if (why == EMSGSIZE)
		return failure_set(failure, EXIT_USAGE, "password_too_long", "the password is longer than 1024 bytes", "");
	snprintf(message, sizeof(message), "no password in %s%s%s", standard ? "standard input" : file, why != 0 ? ": " : "",
		 why != 0 ? strerror(why) : "");
	return failure_set(failure, EXIT_USAGE, "no_password", message, "its first line must be the password");
}

static bool ask(FILE *terminal, const char *question, char *password)
{
	struct termios saved;
	if (tcgetattr(fileno(terminal), &saved) != 0)
		return false;
	struct termios silent = saved;
	silent.c_lflag &= (tcflag_t)~ECHO;
	if (tcsetattr(fileno(terminal), TCSAFLUSH, &silent) != 0)
		return false;
	fputs(question, terminal);
	fflush(terminal);
	bool read = read_line(terminal, password);
	if (tcsetattr(fileno(terminal), TCSAFLUSH, &saved) != 0)
		fprintf(stderr, "freehold: the terminal's echo could not be restored; `stty echo` does it\n");
	fputc('\n', terminal);
	return read;
}

static FILE *open_terminal(const char *what, const char *option, struct failure *failure)
{
	FILE *terminal = fopen("/dev/tty", "r+e");
	if (terminal == NULL) {
		char message[128], hint[128];
		snprintf(message, sizeof(message), "there is no terminal to ask for %s on", what);
		snprintf(hint, sizeof(hint), "give it with %s FILE", option);
		failure_set(failure, EXIT_USAGE, "no_terminal", message, hint);
		return NULL;
	}
	setvbuf(terminal, NULL, _IONBF, 0);
	return terminal;
}

enum exit_code secret_password(const char *file, const char *question, bool confirm,
			       char password[static PASSWORD_BYTES_MAX + 2], struct failure *failure)
{
	if (file != NULL)
		return from_file(file, password, failure);
	FILE *terminal = open_terminal("the password", "--password-file", failure);
	if (terminal == NULL)
		return failure->exit;
	enum exit_code code = EXIT_DONE;
	if (!ask(terminal, question, password))
		code = failure_set(failure, EXIT_USAGE, "no_password", "no password was entered", "");
	if (code == EXIT_DONE && confirm) {
		char again[PASSWORD_BYTES_MAX + 2] = { 0 };
		if (!ask(terminal, "The same again: ", again) || strcmp(password, again) != 0)
			code = failure_set(failure, EXIT_USAGE, "passwords_differ", "the two passwords differ", "try again");
		explicit_bzero(again, sizeof(again));
	}
	fclose(terminal);
	return code;
}

static enum exit_code words_from_file(const char *file, char *words, struct failure *failure)
{
	char message[512];
	bool standard = strcmp(file, "-") == 0;
	FILE *input = standard ? stdin : fopen(file, "re");
	if (input == NULL) {
		snprintf(message, sizeof(message), "could not open the words file %s: %s", file, strerror(errno));
		return failure_set(failure, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "words_file", message, "");
	}
	setvbuf(input, NULL, _IONBF, 0);
	size_t len = fread(words, 1, PASSWORD_BYTES_MAX + 1, input);
	bool failed = ferror(input) != 0;
	if (!standard)
		fclose(input);
	words[len] = '\0';
	if (!failed && len > 0 && len <= PASSWORD_BYTES_MAX && strlen(words) == len)
		return EXIT_DONE;
	snprintf(message, sizeof(message), "no recovery words in %s", standard ? "standard input" : file);
	return failure_set(failure, EXIT_USAGE, "no_words", message, "it must hold the 24 words and nothing else");
}

enum exit_code secret_words(const char *file, char words[static PASSWORD_BYTES_MAX + 2], struct failure *failure)
{
	if (file != NULL)
		return words_from_file(file, words, failure);
	FILE *terminal = open_terminal("the recovery words", "--words-file", failure);
	if (terminal == NULL)
		return failure->exit;
	enum exit_code code = EXIT_DONE;
	if (!ask(terminal, "The 24 recovery words, on one line: ", words))
		code = failure_set(failure, EXIT_USAGE, "no_words", "no recovery words were entered", "");
	fclose(terminal);
	return code;
}
