/*
 * What the commands about the account share.
 */
#ifndef FREEHOLD_ACCOUNT_H
#define FREEHOLD_ACCOUNT_H

#include <jansson.h>

/* A change of the account may wait for Argon2id here and a slow disk at the server. */
#define ACCOUNT_TIMEOUT_S 120L

/* One line about who this device is signed in as. */
void print_who(const json_t *who);

#endif
