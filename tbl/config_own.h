/*
 * config_own.h: the rows of config.h that say as whom an app's processes run and which folders are theirs; config.h
 * includes it, with the same macros. systemd's names and meaning: systemd.exec(5).
 */
CONF(SERVICE_USER, SERVICE, "User", CONF_TYPE_ACCOUNT, 0, "", 0, 0, "", WHEN_RESTART, "the account that the app's processes run as",
	"A name, or a number. As root, and only one that [Server] AllowUsers= of /etc/stead/stead.conf names: HOME, LOGNAME, USER and SHELL are that account's then. Any other is left out with a warning, and the app runs as the user that stead made for it, app-NAME, as it does without this key. Its environment is still made as app-NAME. Never root.", "User=www-data")
CONF(SERVICE_GROUP, SERVICE, "Group", CONF_TYPE_ACCOUNT, 0, "", 0, 0, "", WHEN_RESTART, "the group of the app's processes",
	"A group of User=, or the first group of an account that AllowUsers= names; any other is left out with a warning. Left out: the first group of User=, else the app's own.", "Group=www-data")
CONF(SERVICE_SUPPLEMENTARY_GROUPS, SERVICE, "SupplementaryGroups", CONF_TYPE_ACCOUNT, CONF_MANY, "", 0, 16, "", WHEN_RESTART, "further groups of the app's processes",
	"As Group=. They come beside those that User= is in, and the app's own, by which it reads its release.", "SupplementaryGroups=ssl-cert")
CONF(SERVICE_DYNAMIC_USER, SERVICE, "DynamicUser", CONF_TYPE_BOOL, 0, "no", 0, 0, "", WHEN_RESTART, "run as the app's own user, whatever User= says",
	"The user is app-NAME, which stays: its number is not another's after a restart, as it can be in systemd.", "DynamicUser=yes")
CONF(SERVICE_STATE_DIRECTORY, SERVICE, "StateDirectory", CONF_TYPE_OWN_DIRECTORY, CONF_MANY | CONF_SPECIFIERS, "", 0, 16, "", WHEN_RESTART, "folders for what the app keeps",
	"Made before each start below %S, which is the app's data folder and not /var/lib; STATE_DIRECTORY names them, with a colon between. As root the app sees them at /var/lib, too, as under systemd, in place of what the machine has there under that name; but only by the app's own name, one that begins with it or that it begins with (shop, shop-cache, and shop of the app shop-web). Left out: STATE_DIRECTORY is the data folder itself.", "StateDirectory=shop")
CONF(SERVICE_STATE_DIRECTORY_MODE, SERVICE, "StateDirectoryMode", CONF_TYPE_MODE, 0, "0755", 0, 0, "", WHEN_RESTART, "the mode of those folders",
	"Octal.", "StateDirectoryMode=0750")
CONF(SERVICE_CACHE_DIRECTORY, SERVICE, "CacheDirectory", CONF_TYPE_OWN_DIRECTORY, CONF_MANY | CONF_SPECIFIERS, "", 0, 16, "", WHEN_RESTART, "folders for what the app can make again",
	"As StateDirectory=, below %C and /var/cache; CACHE_DIRECTORY.", "CacheDirectory=shop")
CONF(SERVICE_CACHE_DIRECTORY_MODE, SERVICE, "CacheDirectoryMode", CONF_TYPE_MODE, 0, "0755", 0, 0, "", WHEN_RESTART, "the mode of those folders",
	"Octal.", "CacheDirectoryMode=0700")
CONF(SERVICE_LOGS_DIRECTORY, SERVICE, "LogsDirectory", CONF_TYPE_OWN_DIRECTORY, CONF_MANY | CONF_SPECIFIERS, "", 0, 16, "", WHEN_RESTART, "folders for log files that the app writes itself",
	"As StateDirectory=, below %L and /var/log; LOGS_DIRECTORY. Nobody but the app bounds them: what it prints is in stead's logs, which are.", "LogsDirectory=shop")
CONF(SERVICE_LOGS_DIRECTORY_MODE, SERVICE, "LogsDirectoryMode", CONF_TYPE_MODE, 0, "0755", 0, 0, "", WHEN_RESTART, "the mode of those folders",
	"Octal.", "LogsDirectoryMode=0700")
CONF(SERVICE_CONFIGURATION_DIRECTORY, SERVICE, "ConfigurationDirectory", CONF_TYPE_OWN_DIRECTORY, CONF_MANY | CONF_SPECIFIERS, "", 0, 16, "", WHEN_RESTART, "folders of what the operator writes for the app",
	"Made at a deploy below %E, which is the app's folder `config` and not /etc; CONFIGURATION_DIRECTORY. As root they are root's, and the app reads them; it sees them at /etc, too, when the machine has nothing there under that name.", "ConfigurationDirectory=shop")
CONF(SERVICE_CONFIGURATION_DIRECTORY_MODE, SERVICE, "ConfigurationDirectoryMode", CONF_TYPE_MODE, 0, "0755", 0, 0, "", WHEN_RESTART, "the mode of those folders",
	"Octal; as root without a right to write for others.", "ConfigurationDirectoryMode=0750")
CONF(SERVICE_RUNTIME_DIRECTORY, SERVICE, "RuntimeDirectory", CONF_TYPE_OWN_DIRECTORY, CONF_MANY | CONF_SPECIFIERS, "", 0, 16, "", WHEN_RESTART, "folders that live as long as the program",
	"Made below %t, which is each program's own and not /run; RUNTIME_DIRECTORY. As root the program sees them at /run, too, and Listen= may name a socket there. They are empty when a program starts that no other process of it runs beside, unless RuntimeDirectoryPreserve= keeps them. Left out: RUNTIME_DIRECTORY is %t itself, for a program that serves.", "RuntimeDirectory=shop")
CONF(SERVICE_RUNTIME_DIRECTORY_MODE, SERVICE, "RuntimeDirectoryMode", CONF_TYPE_MODE, 0, "0755", 0, 0, "", WHEN_RESTART, "the mode of those folders",
	"Octal.", "RuntimeDirectoryMode=0750")
CONF(SERVICE_RUNTIME_DIRECTORY_PRESERVE, SERVICE, "RuntimeDirectoryPreserve", CONF_TYPE_ENUM, 0, "no", 0, 0, "no yes restart true false on off 1 0", WHEN_RESTART, "whether what lies in them outlives the program",
	"`restart` and `yes`: what the program before it left is still there, also behind a stop.", "RuntimeDirectoryPreserve=yes")
