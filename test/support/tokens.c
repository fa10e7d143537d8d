/* SPDX-License-Identifier: MIT */
#include "tokens.h"

void tokens_add(struct tokens *tokens)
{
    pthread_mutex_lock(&tokens->lock);
    tokens->count++;
    pthread_cond_signal(&tokens->added);
    pthread_mutex_unlock(&tokens->lock);
}

void tokens_take(struct tokens *tokens)
{
    pthread_mutex_lock(&tokens->lock);
    while (!tokens->count)
        pthread_cond_wait(&tokens->added, &tokens->lock);
    tokens->count--;
    pthread_mutex_unlock(&tokens->lock);
}

void tokens_clear(struct tokens *tokens)
{
    pthread_mutex_lock(&tokens->lock);
    tokens->count = 0;
    pthread_mutex_unlock(&tokens->lock);
}
