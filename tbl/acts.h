/*
 * acts.h: every privileged thing that stead can do; `act` does one row and ends. An X-macro table.
 *
 * ACT(NAME, name, args, about): args is the number of typed string arguments (act validates each).
 */
ACT(USER_ROLE, user_role, 1, "make the system user stead-ROLE")
ACT(USER_APP, user_app, 2, "make the system user app-NAME with a uid of stead's range")
ACT(TREE_COPY, tree_copy, 3, "copy a folder below stead's state, owned by root and readable by one group")
ACT(FOLDER_MAKE, folder_make, 4, "make a folder below stead's state or runtime root: path, owner, group, mode")
