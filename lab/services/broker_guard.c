/* What mosquitto 2.0 does not refuse by itself: a plugin for it (plugin API 5). docs/broker.md.
 *
 * Devices are all clients that have no `user` line in the access list. For them
 *  - messages and bytes per second are limited by a token bucket, whose state outlives their connections. Whoever
 *    exceeds it is disconnected, and what he sent is not acknowledged: an honest device sends it again;
 *  - filters may be subscribed to only within the list's `pattern read` lines. Mosquitto would grant any, deliver
 *    nothing, and let a device take messages out of somebody else's shared subscription;
 *  - nothing may be retained: there is no end to the topics `dt/<any group>/<own name>/…`;
 *  - every refusal is logged as a notice. Mosquitto says what it denies only among four lines for each message.
 * What passes here, mosquitto checks against the same access list.
 *
 * Options: `acl_file`, `messages_per_s`, `burst_messages`, `bytes_per_s`, `burst_bytes`.
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

enum { LINE_BYTES = 4096 };

struct rule {
	struct rule *next;
	int access; /* MOSQ_ACL_READ, MOSQ_ACL_WRITE, or MOSQ_ACL_NONE for a user who is no device */
	char text[];
};

struct device {
	double messages, bytes; /* left in the buckets */
	double seen_s;
	bool expelled; /* and its will has not been asked for yet */
	const char *name;
};

static mosquitto_plugin_id_t *self;
static struct rule *rules;
static void *devices; /* tsearch(3) */
static struct {
	double messages_per_s, burst_messages, bytes_per_s, burst_bytes;
} limits;

static double now_s(void)
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
	*device = (struct device){limits.burst_messages, limits.burst_bytes, now_s(), false, kept};
	if(!tsearch(device, &devices, by_name)){
		free(device);
		return NULL;
	}
	return device;
}

static double refilled(double level, double per_s, double burst, double passed_s)
{
	level += per_s * passed_s;
	return level < burst ? level : burst;
}

/* Take a message of so many bytes out of the buckets, if they hold as much. */
static bool take(struct device *device, double bytes)
{
	double passed_s = now_s() - device->seen_s;

	device->seen_s += passed_s;
	device->messages = refilled(device->messages, limits.messages_per_s, limits.burst_messages, passed_s);
	device->bytes = refilled(device->bytes, limits.bytes_per_s, limits.burst_bytes, passed_s);
	if(device->messages < 1 || device->bytes < bytes) return false;
	device->messages -= 1;
	device->bytes -= bytes;
	return true;
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
	struct device *device;

	(void)event;
	(void)unused;
	if(asked->access != MOSQ_ACL_WRITE && asked->access != MOSQ_ACL_SUBSCRIBE) return MOSQ_ERR_PLUGIN_DEFER;
	if(!name || !is_device(name)) return MOSQ_ERR_PLUGIN_DEFER;
	device = device_of(name);
	if(!device) return MOSQ_ERR_NOMEM;
	if(device->expelled){
		/* Asked again at once, for its will: that the device is gone should be known. */
		device->expelled = false;
	}else if(!take(device, (double)asked->payloadlen + (double)strlen(asked->topic))){
		device->expelled = true;
		mosquitto_log_printf(MOSQ_LOG_NOTICE,
				"guard: %s exceeds %.0f messages or %.0f bytes a second: disconnected", name,
				limits.messages_per_s, limits.bytes_per_s);
		return MOSQ_ERR_ADMINISTRATIVE_ACTION;
	}
	if(asked->access == MOSQ_ACL_SUBSCRIBE){
		if(!allowed(MOSQ_ACL_READ, name, asked->topic)) return refuse(name, "subscribe to", asked->topic);
	}else{
		if(!allowed(MOSQ_ACL_WRITE, name, asked->topic)) return refuse(name, "publish to", asked->topic);
		if(asked->retain) return refuse(name, "retain a message at", asked->topic);
	}
	return MOSQ_ERR_PLUGIN_DEFER;
}

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
		{"messages_per_s", &limits.messages_per_s}, {"burst_messages", &limits.burst_messages},
		{"bytes_per_s", &limits.bytes_per_s}, {"burst_bytes", &limits.burst_bytes},
	};

	for(int at = 0; at < count; at++){
		if(!strcmp(options[at].key, "acl_file")) *acl_file = options[at].value;
		for(size_t number = 0; number < sizeof(numbers) / sizeof(*numbers); number++){
			if(!strcmp(options[at].key, numbers[number].name)) *numbers[number].value = strtod(options[at].value, NULL);
		}
	}
	for(size_t number = 0; number < sizeof(numbers) / sizeof(*numbers); number++){
		if(!(*numbers[number].value > 0)){
			mosquitto_log_printf(MOSQ_LOG_ERR, "guard: plugin_opt_%s must be above 0", numbers[number].name);
			return MOSQ_ERR_INVAL;
		}
	}
	if(!*acl_file){
		mosquitto_log_printf(MOSQ_LOG_ERR, "guard: plugin_opt_acl_file is missing");
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
	return rc ? rc : mosquitto_callback_register(self, MOSQ_EVT_ACL_CHECK, on_access, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *data, struct mosquitto_opt *options, int count)
{
	(void)data;
	(void)options;
	(void)count;
	tdestroy(devices, free);
	devices = NULL;
	while(rules){
		struct rule *next = rules->next;
		free(rules);
		rules = next;
	}
	return mosquitto_callback_unregister(self, MOSQ_EVT_ACL_CHECK, on_access, NULL);
}
