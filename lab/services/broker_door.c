/* Limits for each source address, before TLS: what no plugin of mosquitto 2.0 can do, and a device's limits cannot,
 * since whoever fails to say who it is has no name. docs/broker.md.
 *
 * A connection costs the broker a handshake, and has one of its `max_connections` until 90 s of silence are over. So
 * for each address we limit how many connections are open, how many of them are of clients that have not asked for
 * anything yet, how fast they are tried, and how many may fail, that is, end before their client was known by its
 * certificate. Who exceeds is reset at once, without a handshake.
 *
 * Mosquitto tells plugins of no connection before its first message. Hence this half of the guard stands in front of
 * accept(2) and close(2): the library is preloaded (LD_PRELOAD), as well as loaded as a plugin.
 */
#define _DEFAULT_SOURCE /* not _GNU_SOURCE: with it glibc declares accept(2) with a union */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <search.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>

#include "broker_guard.h"

enum { CHAINS = 4096, AT_ONCE = 64, IPV6_PREFIX_BYTES = 8 };
static const double TELL_EVERY_S = 10;

struct address {
	struct address *next;
	struct in6_addr key;
	double open, known; /* connections, and those of them whose client is known */
	double leaving; /* of those that were known and are about to end */
	double attempts, failures; /* left in the buckets */
	double seen_s, told_s;
	unsigned long refused; /* since that was told */
};

struct client {
	const struct mosquitto *of; /* never looked into: it may be gone */
	struct address *address;
};

struct door_limits door_limits;
static void *clients; /* tsearch(3): those that are known */
static struct address *chains[CHAINS];
static struct address **holders; /* by file descriptor: whose connection it is */
static size_t holders_length;

static int accept_or_refuse(int listener, struct sockaddr *peer, socklen_t *length);
static int close_and_count(int fd);
int accept(int listener, struct sockaddr *restrict peer, socklen_t *restrict length)
		__attribute__((alias("accept_or_refuse")));
int close(int fd) __attribute__((alias("close_and_count")));

bool door_in_place(void)
{
	/* Otherwise the dynamic linker has found the C library's first. */
	return accept == accept_or_refuse && close == close_and_count;
}

/* IPv4 as IPv6 has it; of IPv6 only the network, since a client has as many addresses in it as it wants. */
static bool key_of(int family, const void *address, struct in6_addr *key)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(key, 0, sizeof(*key));
	if(family == AF_INET){
		memcpy(key->s6_addr, mapped, sizeof(mapped));
		memcpy(key->s6_addr + sizeof(mapped), address, 4);
	}else if(family == AF_INET6 && !memcmp(address, mapped, sizeof(mapped))){
		memcpy(key, address, sizeof(*key));
	}else if(family == AF_INET6){
		memcpy(key, address, IPV6_PREFIX_BYTES);
	}else{
		return false;
	}
	return true;
}

static bool key_of_text(const char *text, struct in6_addr *key)
{
	uint8_t address[sizeof(struct in6_addr)];

	if(inet_pton(AF_INET, text, address) == 1) return key_of(AF_INET, address, key);
	return inet_pton(AF_INET6, text, address) == 1 && key_of(AF_INET6, address, key);
}

static void refill(struct address *address)
{
	double passed_s = now_s() - address->seen_s;

	address->seen_s += passed_s;
	address->attempts = refilled(address->attempts, door_limits.attempts_per_s, door_limits.burst_attempts, passed_s);
	address->failures = refilled(address->failures, door_limits.failures_per_s, door_limits.burst_failures, passed_s);
}

static bool idle(const struct address *address)
{
	return address->open < 1 && address->known < 1 && address->attempts >= door_limits.burst_attempts
			&& address->failures >= door_limits.burst_failures;
}

/* The address of this key, on whose way we forget what is idle; new ones with full buckets. NULL without memory. */
static struct address *address_of(const struct in6_addr *key)
{
	uint32_t hash = 2166136261; /* FNV-1a */
	struct address **at, *found = NULL;

	for(size_t byte = 0; byte < sizeof(key->s6_addr); byte++) hash = (hash ^ key->s6_addr[byte]) * 16777619;
	at = &chains[hash % CHAINS];
	while(*at){
		struct address *here = *at;
		refill(here);
		if(!memcmp(&here->key, key, sizeof(*key))){
			found = here;
		}else if(idle(here)){
			*at = here->next;
			free(here);
			continue;
		}
		at = &here->next;
	}
	if(found) return found;
	found = calloc(1, sizeof(*found));
	if(!found) return NULL;
	found->key = *key;
	found->attempts = door_limits.burst_attempts;
	found->failures = door_limits.burst_failures;
	found->seen_s = now_s();
	found->told_s = found->seen_s - TELL_EVERY_S;
	*at = found;
	return found;
}

static bool hold(int fd, struct address *address)
{
	if((size_t)fd >= holders_length){
		size_t length = (size_t)fd * 2 + 64;
		struct address **grown = realloc(holders, length * sizeof(*grown));
		if(!grown) return false;
		memset(grown + holders_length, 0, (length - holders_length) * sizeof(*grown));
		holders = grown;
		holders_length = length;
	}
	holders[fd] = address;
	address->open += 1;
	return true;
}

static void tell(struct address *address, const char *why, double limit)
{
	char text[INET6_ADDRSTRLEN] = "?";
	bool ipv4 = IN6_IS_ADDR_V4MAPPED(&address->key);

	address->refused++;
	if(address->seen_s - address->told_s < TELL_EVERY_S) return;
	inet_ntop(ipv4 ? AF_INET : AF_INET6, address->key.s6_addr + (ipv4 ? 12 : 0), text, sizeof(text));
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "guard: %s%s exceeds %g %s: %lu connections refused", text,
			ipv4 ? "" : "/64", limit, why, address->refused);
	address->told_s = address->seen_s;
	address->refused = 0;
}

static bool admitted(int fd, const struct sockaddr_storage *peer)
{
	const void *bytes = peer->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)peer)->sin_addr
			: (const void *)&((const struct sockaddr_in6 *)peer)->sin6_addr;
	struct in6_addr key;
	struct address *address;

	if(door_limits.connections < 1 || !key_of(peer->ss_family, bytes, &key)) return true;
	address = address_of(&key);
	if(!address) return false;
	if(address->attempts < 1){
		tell(address, "connection attempts a second", door_limits.attempts_per_s);
		return false;
	}
	address->attempts -= 1;
	if(address->failures < 1){
		tell(address, "failed connections a second", door_limits.failures_per_s);
		return false;
	}
	if(address->open >= door_limits.connections){
		tell(address, "connections", door_limits.connections);
		return false;
	}
	if(address->open - address->known >= door_limits.unknown){
		tell(address, "connections that have said nothing", door_limits.unknown);
		return false;
	}
	return hold(fd, address);
}

/* As accept(2), but that connections which are refused are passed over. */
static int accept_or_refuse(int listener, struct sockaddr *peer, socklen_t *length)
{
	static const struct linger reset = {1, 0};

	for(int tried = 0; tried < AT_ONCE; tried++){
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);
		int fd = (int)syscall(SYS_accept4, listener, &from, &size, 0);
		if(fd < 0) return fd;
		if(admitted(fd, &from)){
			if(peer && length){
				memcpy(peer, &from, *length < size ? *length : size);
				*length = size;
			}
			return fd;
		}
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		syscall(SYS_close, fd);
	}
	errno = EAGAIN; /* Others are to have their turn; the rest is still there then. */
	return -1;
}

static int close_and_count(int fd)
{
	if(fd >= 0 && (size_t)fd < holders_length && holders[fd]){
		struct address *address = holders[fd];
		holders[fd] = NULL;
		address->open -= 1;
		if(address->leaving >= 1){
			address->leaving -= 1;
		}else{
			refill(address);
			/* No debt: however many have failed at once, some may try again soon. */
			if(address->failures >= 1) address->failures -= 1;
		}
	}
	return (int)syscall(SYS_close, fd);
}

static int by_client(const void *left, const void *right)
{
	const struct mosquitto *one = ((const struct client *)left)->of, *other = ((const struct client *)right)->of;

	return (one > other) - (one < other);
}

static struct address *address_of_client(const struct mosquitto *client)
{
	const char *text = mosquitto_client_address(client);
	struct in6_addr key;

	return text && key_of_text(text, &key) ? address_of(&key) : NULL;
}

void door_known(const struct mosquitto *of)
{
	const struct client wanted = {.of = of};
	struct client *client;
	struct address *address;

	if(door_limits.connections < 1 || tfind(&wanted, &clients, by_client)) return;
	address = address_of_client(of);
	client = malloc(sizeof(*client));
	if(!client || !address || address->known >= address->open){
		free(client);
		return;
	}
	*client = (struct client){of, address};
	if(!tsearch(client, &clients, by_client)){
		free(client);
		return;
	}
	address->known += 1;
}

void door_leaving(const struct mosquitto *of)
{
	const struct client wanted = {.of = of};
	struct client **found;
	struct address *address;

	if(door_limits.connections < 1) return;
	found = (struct client **)tfind(&wanted, &clients, by_client);
	if(found){
		struct client *client = *found;
		client->address->known -= 1;
		tdelete(client, &clients, by_client);
		free(client);
	}
	address = address_of_client(of);
	/* Mosquitto also tells of the end of clients whose connection has ended long before. */
	if(address && address->leaving < address->open) address->leaving += 1;
}

void door_forget_all(void)
{
	door_limits.connections = 0;
	while(clients){
		struct client *client = *(struct client **)clients;
		tdelete(client, &clients, by_client);
		free(client);
	}
	free(holders);
	holders = NULL;
	holders_length = 0;
	for(size_t chain = 0; chain < CHAINS; chain++){
		while(chains[chain]){
			struct address *next = chains[chain]->next;
			free(chains[chain]);
			chains[chain] = next;
		}
	}
}
