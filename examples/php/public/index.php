<?php
// A guestbook that keeps its lines in a file: a front controller, plain PHP, nothing to install.
// stead runs it with PHP-FPM (apt install php-fpm); STATE_DIRECTORY outlives restarts and releases.

$file = getenv('STATE_DIRECTORY') . '/lines.txt';

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $line = trim(preg_replace('/\s+/', ' ', $_POST['line'] ?? ''));
    if ($line !== '' && strlen($line) <= 500) {
        file_put_contents($file, $line . "\n", FILE_APPEND | LOCK_EX);
    }
    header('Location: /', true, 303);
    exit;
}
if (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) !== '/') {
    http_response_code(404);
    exit('There is no such page.');
}
$lines = is_file($file) ? array_slice(file($file, FILE_IGNORE_NEW_LINES), -50) : [];
?>
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Guestbook</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<h1>Guestbook</h1>
<form method="post"><input name="line" maxlength="500" required autofocus> <button>Sign</button></form>
<ul>
<?php foreach (array_reverse($lines) as $line): ?>
<li><?= htmlspecialchars($line) ?></li>
<?php endforeach ?>
</ul>
</body>
</html>
