/*
 * acts.h: every privileged thing that stead can do; `act` does one row and ends. An X-macro table.
 *
 * ACT(NAME, name, args, about): args is the number of typed string arguments (act validates each).
 */
ACT(USER_ROLE, user_role, 1, "make the system user stead-ROLE")
ACT(USER_APP, user_app, 3, "make the system user app-NAME (or app-NAME-2 …) with a uid of stead's range, for one state folder: name, uid or empty, state folder")
ACT(TREE_COPY, tree_copy, 3, "copy a folder below stead's state, owned by root and readable by one group")
ACT(FOLDER_MAKE, folder_make, 4, "make a folder below stead's state or runtime root: path, owner, group, mode")
ACT(TREES_CLEAR, trees_clear, 2, "remove the numbered trees of STATE/releases or STATE/public below a number")
ACT(SCRIPTS_COPY, scripts_copy, 3, "as tree_copy, for the gates: of each .php there is the name only, because they run none and hand none out")
ACT(PERSON_SET, person_set, 5, "make or change a person's account, for root's `stead user` only: name, public keys, `sudo` or nothing, apps to deploy or nothing, path of stead")
ACT(PERSON_REMOVE, person_remove, 1, "take a person's keys and rights, then the account, for root's `stead user` only: name")
ACT(FIREWALL_OPEN, firewall_open, 3, "open ports 80, 443 and sshd's in a firewall that drops them: places, ports, and after how many seconds that is taken back unless somebody connects anew")
ACT(UPGRADES_ON, upgrades_on, 0, "have apt install security updates by itself")
ACT(TREE_REMOVE, tree_remove, 1, "remove one tree below stead's state: a numbered one of a releases, public or incoming folder, or a folder of an app")
ACT(PERSIST, persist, 3, "have paths of a release lead to the app's data folder: release, data folder, paths one a line")
ACT(TREE_MOUNT, tree_mount, 4, "mount a folder, read-only, below STATE/public for the gates: the folder, which the operator's own files name; the place; the file that names it; what gates see of it until now, or nothing")
ACT(INODES_MADE, inodes_made, 4, "count the files that each app made in folders where it may write, to find who uses up the inodes: the state's folder, since when in seconds since 1970, and milliseconds, how many an app must have made; then packed, of each folder that lies elsewhere: its app, that one's uid, the folder")
ACT(APP_FORGET, app_forget, 2, "take away what an app that is not deployed left, but for its data: STATE/apps/NAME, and what it has elsewhere or nothing, when all of the folder may go that holds no file")
