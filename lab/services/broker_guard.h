/* What the guard's two halves have in common: broker_guard.c (devices) and broker_door.c (addresses). */
#ifndef AMILAB_BROKER_GUARD_H
#define AMILAB_BROKER_GUARD_H

#include <stdbool.h>

#include <mosquitto.h>

/* Preloaded, it shares a name space with the broker. */
#pragma GCC visibility push(hidden)

/* A token bucket: `level` is what is left in it. */
static inline double refilled(double level, double per_s, double burst, double passed_s)
{
	level += per_s * passed_s;
	return level < burst ? level : burst;
}

double now_s(void);

/* Of each source address. With `connections` 0 there is no limit. */
struct door_limits {
	double connections, unknown, attempts_per_s, burst_attempts, failures_per_s, burst_failures;
};
extern struct door_limits door_limits;

/* Whether the door is where the broker goes in and out: only if this library is preloaded. */
bool door_in_place(void);
/* A client has asked for something: it is known, as mosquitto tells of none before. */
void door_known(const struct mosquitto *client);
/* The connection of a client is about to end that has said who it is. */
void door_leaving(const struct mosquitto *client);
void door_forget_all(void);

#pragma GCC visibility pop

#endif
