/* What mosquitto 2.0 does not refuse by itself: a plugin for it (plugin API 5). docs/broker.md.
 *
 * Devices are all clients that have no `user` line in the access list. For them
 *  - messages and bytes per second are limited by a token bucket, whose state outlives their connections. Whoever
 *    exceeds it is disconnected, and what he sent is not acknowledged: an honest device sends it again. Only his will
 *    passes then, once a minute: that the device is gone should be known;
 *  - the properties of MQTT 5 are bytes too. Those of wills, of subscriptions, and of what is refused, mosquitto does
 *    not show: they count as if they filled the largest packet;
 *  - filters may be subscribed to only within the list's `pattern read` lines. Mosquitto would grant any, deliver
 *    nothing, and let a device take messages out of somebody else's shared subscription. No more than so many at once:
 *    there is no end to the filters `cmd/<any group>/<own name>`, and each is kept;
 *  - nothing may be retained: there is no end to the topics `dt/<any group>/<own name>/…`;
 *  - every refusal is logged as a notice. Mosquitto says what it denies only among four lines for each message.
 * What passes here, mosquitto checks against the same access list. Source addresses are limited by broker_door.c.
 *
 * Options: `acl_file`, `packet_bytes`, `subscriptions`, `messages_per_s`, `burst_messages`, `bytes_per_s`,
 * `burst_bytes`; and all of, or none of, `address_connections`, `address_unknown`, `address_attempts_per_s`, `address_burst_attempts`, `address_failures_per_s`,
 * `address_burst_failures`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <mqtt_protocol.h>

#include "broker_guard.h"

enum { LINE_BYTES = 4096, PROTOCOL_5 = 5 };
static const double PARDON_EVERY_S = 60;

struct rule {
	struct rule *next;
	int access; /* MOSQ_ACL_READ, MOSQ_ACL_WRITE, or MOSQ_ACL_NONE for a user who is no device */
	char text[];
};

struct device {
	double messages, bytes; /* left in the buckets */
	double seen_s;
	bool expelled; /* and nothing has been asked for in its name since */
	double pardoned_s; /* when its will last passed for nothing */
	const char *name;
};

static mosquitto_plugin_id_t *self;
static struct rule *rules;
static void *devices; /* tsearch(3) */
static struct {
	double packet_bytes, subscriptions, messages_per_s, burst_messages, bytes_per_s, burst_bytes;
} limits = {.packet_bytes = 32768, .subscriptions = 16}; /* as configurations of older releases mean it */
static const struct mosquitto *closing; /* whose connection has just ended: what it publishes next is its will */

double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct device *)left)->name, ((const struct device *)right)->name);
}

/* Whether all that `filter` (a topic, or a filter) matches is matched by `pattern` too, `%u` in it being `name`. */
static bool covers(const char *pattern, const char *name, const char *filter)
{
	/* The broker's own names, and shares: no wildcard at the first level matches them (MQTT 3.1.1, 4.7.2). */
	if(*filter == '$' && (*pattern == '+' || *pattern == '#')) return false;
	for(;;){
		size_t wanted = strcspn(pattern, "/"), given = strcspn(filter, "/");
		if(wanted == 1 && pattern[0] == '#') return true;
		if(given == 1 && filter[0] == '#') return false;
		if(wanted == 2 && !strncmp(pattern, "%u", 2)){
			if(given != strlen(name) || strncmp(filter, name, given)) return false;
		}else if(wanted != 1 || pattern[0] != '+'){
			if(given != wanted || strncmp(filter, pattern, given)) return false;
		}
		pattern += wanted;
		filter += given;
		if(!*pattern || !*filter) return *pattern == *filter;
		pattern++;
		filter++;
	}
}

static bool allowed(int access, const char *name, const char *filter)
{
	for(const struct rule *rule = rules; rule; rule = rule->next){
		if(rule->access == access && covers(rule->text, name, filter)) return true;
	}
	return false;
}

static bool is_device(const char *name)
{
	for(const struct rule *rule = rules; rule; rule = rule->next){
		if(rule->access == MOSQ_ACL_NONE && !strcmp(rule->text, name)) return false;
	}
	return true;
}

/* The device of this name, new ones with full buckets; NULL without memory. */
static struct device *device_of(const char *name)
{
	const struct device wanted = {.name = name};
	struct device **found = tfind(&wanted, &devices, by_name);
	struct device *device;
	char *kept;

	if(found) return *found;
	device = malloc(sizeof(*device) + strlen(name) + 1);
	if(!device) return NULL;
	kept = (char *)(device + 1);
	strcpy(kept, name);
	*device = (struct device){limits.burst_messages, limits.burst_bytes, now_s(), false, -PARDON_EVERY_S, kept};
	if(!tsearch(device, &devices, by_name)){
		free(device);
		return NULL;
	}
	return device;
}

/* Take so many messages and bytes out of the buckets, if they hold as much. */
static bool take(struct device *device, double messages, double bytes)
{
	double passed_s = now_s() - device->seen_s;

	device->seen_s += passed_s;
	device->messages = refilled(device->messages, limits.messages_per_s, limits.burst_messages, passed_s);
	device->bytes = refilled(device->bytes, limits.bytes_per_s, limits.burst_bytes, passed_s);
	if(device->messages < messages || device->bytes < bytes) return false;
	device->messages -= messages;
	device->bytes -= bytes;
	return true;
}

static int expel(struct device *device)
{
	device->expelled = true;
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "guard: %s exceeds %.0f messages or %.0f bytes a second: disconnected",
			device->name, limits.messages_per_s, limits.bytes_per_s);
	return MOSQ_ERR_ADMINISTRATIVE_ACTION;
}

/* Whether this is the will of a device that we have just expelled, and the first in a while. */
static bool pardoned(struct device *device, bool is_will)
{
	bool expelled = device->expelled;

	device->expelled = false;
	if(!expelled || !is_will || now_s() - device->pardoned_s < PARDON_EVERY_S) return false;
	device->pardoned_s = now_s();
	return true;
}

static double size_of(const mosquitto_property *property)
{
	double bytes = 0;

	for(; property; property = mosquitto_property_next(property)){
		int kind = mosquitto_property_identifier(property);
		char *name = NULL, *value = NULL;
		void *data = NULL;
		uint16_t length = 0;
		if(kind == MQTT_PROP_USER_PROPERTY){
			mosquitto_property_read_string_pair(property, kind, &name, &value, false);
		}else if(kind == MQTT_PROP_CORRELATION_DATA){
			mosquitto_property_read_binary(property, kind, &data, &length, false);
		}else if(kind == MQTT_PROP_CONTENT_TYPE || kind == MQTT_PROP_RESPONSE_TOPIC){
			mosquitto_property_read_string(property, kind, &value, false);
		}
		bytes += 5.0 + length + (double)(name ? strlen(name) : 0) + (double)(value ? strlen(value) : 0);
		free(name);
		free(value);
		free(data);
	}
	return bytes;
}

static int refuse(const char *name, const char *what, const char *topic)
{
	mosquitto_log_printf(MOSQ_LOG_NOTICE, "guard: %s may not %s %s", name, what, topic);
	return MOSQ_ERR_ACL_DENIED;
}

static int on_access(int event, void *data, void *unused)
{
	struct mosquitto_evt_acl_check *asked = data;
	const char *name = mosquitto_client_username(asked->client);
	bool subscribes = asked->access == MOSQ_ACL_SUBSCRIBE || asked->access == MOSQ_ACL_UNSUBSCRIBE;
	bool is_will = asked->access == MOSQ_ACL_WRITE && closing == asked->client;
	bool hides_properties = mosquitto_client_protocol_version(asked->client) == PROTOCOL_5;
	double bytes = (double)asked->payloadlen + (double)strlen(asked->topic);
	struct device *device;

	(void)event;
	(void)unused;
	closing = NULL;
	if(asked->access != MOSQ_ACL_WRITE && !subscribes) return MOSQ_ERR_PLUGIN_DEFER;
	if(!is_will) door_known(asked->client);
	if(!name || !is_device(name)) return MOSQ_ERR_PLUGIN_DEFER;
	device = device_of(name);
	if(!device) return MOSQ_ERR_NOMEM;
	if(hides_properties && (subscribes || is_will)) bytes = limits.packet_bytes;
	if(!pardoned(device, is_will) && !take(device, 1, bytes)) return expel(device);
	if(subscribes){
		bool more = asked->access == MOSQ_ACL_SUBSCRIBE;
		if(!allowed(MOSQ_ACL_READ, name, asked->topic)){
			return more ? refuse(name, "subscribe to", asked->topic) : MOSQ_ERR_ACL_DENIED;
		}
		if(!more || mosquitto_client_sub_count(asked->client) < limits.subscriptions) return MOSQ_ERR_PLUGIN_DEFER;
		return refuse(name, "subscribe any more, to", asked->topic);
	}
	if(allowed(MOSQ_ACL_WRITE, name, asked->topic) && !asked->retain) return MOSQ_ERR_PLUGIN_DEFER;
	/* It does not come to `on_message`. */
	if(hides_properties && !is_will) device->bytes -= limits.packet_bytes;
	return refuse(name, asked->retain ? "retain a message at" : "publish to", asked->topic);
}

/* A message that may be published: the first time that its properties are shown. */
static int on_message(int event, void *data, void *unused)
{
	struct mosquitto_evt_message *published = data;
	const char *name = mosquitto_client_username(published->client);
	struct device *device;

	(void)event;
	(void)unused;
	if(!published->properties || !name || !is_device(name)) return MOSQ_ERR_SUCCESS;
	device = device_of(name);
	if(!device) return MOSQ_ERR_NOMEM;
	return take(device, 0, size_of(published->properties)) ? MOSQ_ERR_SUCCESS : expel(device);
}

static int on_disconnect(int event, void *data, void *unused)
{
	const struct mosquitto_evt_disconnect *ended = data;

	(void)event;
	(void)unused;
	closing = ended->client;
	if(mosquitto_client_id(ended->client)) door_leaving(ended->client);
	return MOSQ_ERR_SUCCESS;
}

/* Between two events of the broker's loop: a will that was not asked for by now is none, or a delayed one. */
static int on_tick(int event, void *data, void *unused)
{
	(void)event;
	(void)data;
	(void)unused;
	closing = NULL;
	return MOSQ_ERR_SUCCESS;
}

static const struct { int event; int (*callback)(int, void *, void *); } callbacks[] = {
	{MOSQ_EVT_ACL_CHECK, on_access}, {MOSQ_EVT_MESSAGE, on_message},
	{MOSQ_EVT_DISCONNECT, on_disconnect}, {MOSQ_EVT_TICK, on_tick},
};

static int add_rule(int access, const char *text)
{
	struct rule *rule = malloc(sizeof(*rule) + strlen(text) + 1);

	if(!rule) return MOSQ_ERR_NOMEM;
	rule->access = access;
	strcpy(rule->text, text);
	rule->next = rules;
	rules = rule;
	return MOSQ_ERR_SUCCESS;
}

static int read_rules(const char *path)
{
	static const struct { const char *start; int access; } kinds[] = {
		{"pattern read ", MOSQ_ACL_READ}, {"pattern write ", MOSQ_ACL_WRITE}, {"user ", MOSQ_ACL_NONE},
	};
	char line[LINE_BYTES];
	int rc = MOSQ_ERR_SUCCESS;
	FILE *file = fopen(path, "r");

	if(!file){
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: cannot read %s: %s", path, strerror(errno));
		return MOSQ_ERR_INVAL;
	}
	while(!rc && fgets(line, sizeof(line), file)){
		line[strcspn(line, "\r\n")] = '\0';
		for(size_t kind = 0; kind < sizeof(kinds) / sizeof(*kinds); kind++){
			size_t length = strlen(kinds[kind].start);
			if(!strncmp(line, kinds[kind].start, length)) rc = add_rule(kinds[kind].access, line + length);
		}
	}
	fclose(file);
	return rc;
}

static int read_options(const struct mosquitto_opt *options, int count, const char **acl_file)
{
	const struct { const char *name; double *value; } numbers[] = {
		{"packet_bytes", &limits.packet_bytes}, {"subscriptions", &limits.subscriptions},
		{"messages_per_s", &limits.messages_per_s}, {"burst_messages", &limits.burst_messages},
		{"bytes_per_s", &limits.bytes_per_s}, {"burst_bytes", &limits.burst_bytes},
		{"address_connections", &door_limits.connections},
		{"address_unknown", &door_limits.unknown},
		{"address_attempts_per_s", &door_limits.attempts_per_s},
		{"address_burst_attempts", &door_limits.burst_attempts},
		{"address_failures_per_s", &door_limits.failures_per_s},
		{"address_burst_failures", &door_limits.burst_failures},
	};
	bool door = false;

	for(int at = 0; at < count; at++){
		if(!strcmp(options[at].key, "acl_file")) *acl_file = options[at].value;
		if(!strncmp(options[at].key, "address_", strlen("address_"))) door = true;
		for(size_t number = 0; number < sizeof(numbers) / sizeof(*numbers); number++){
			if(!strcmp(options[at].key, numbers[number].name)) *numbers[number].value = strtod(options[at].value, NULL);
		}
	}
	for(size_t number = 0; number < sizeof(numbers) / sizeof(*numbers); number++){
		if(!door && !strncmp(numbers[number].name, "address_", strlen("address_"))) continue;
		if(!(*numbers[number].value > 0)){
			mosquitto_log_printf(MOSQ_LOG_ERR, "guard: plugin_opt_%s must be above 0", numbers[number].name);
			return MOSQ_ERR_INVAL;
		}
	}
	if(!*acl_file){
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: plugin_opt_acl_file is missing");
		return MOSQ_ERR_INVAL;
	}
	if(door && !door_in_place()){
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: limits of addresses take LD_PRELOAD with the path of this plugin");
		return MOSQ_ERR_INVAL;
	}
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_version(int count, const int *versions)
{
	for(int at = 0; at < count; at++){
		if(versions[at] == 5) return 5;
	}
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **data, struct mosquitto_opt *options, int count)
{
	const char *acl_file = NULL;
	int rc = read_options(options, count, &acl_file);

	(void)data;
	if(!rc) rc = read_rules(acl_file);
	self = identifier;
	/* Loaded before mosquitto reads its access list, so asked before it. */
	for(size_t at = 0; !rc && at < sizeof(callbacks) / sizeof(*callbacks); at++){
		rc = mosquitto_callback_register(self, callbacks[at].event, callbacks[at].callback, NULL, NULL);
	}
	return rc;
}

int mosquitto_plugin_cleanup(void *data, struct mosquitto_opt *options, int count)
{
	int rc = MOSQ_ERR_SUCCESS;

	(void)data;
	(void)options;
	(void)count;
	door_forget_all();
	tdestroy(devices, free);
	devices = NULL;
	while(rules){
		struct rule *next = rules->next;
		free(rules);
		rules = next;
	}
	for(size_t at = 0; at < sizeof(callbacks) / sizeof(*callbacks); at++){
		int left = mosquitto_callback_unregister(self, callbacks[at].event, callbacks[at].callback, NULL);
		if(left) rc = left;
	}
	return rc;
}
