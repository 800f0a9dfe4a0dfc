<?php

declare(strict_types=1);

require __DIR__ . '/verifier.php';
require __DIR__ . '/public_key.php';

$now = isset($_SERVER['NOW']) ? (int) $_SERVER['NOW'] : null;
try {
    verify_webhook($_SERVER['SECRET'], $_SERVER, file_get_contents('php://stdin'), $now);
    echo "verified\n";
} catch (RuntimeException $error) {
    echo 'refused: ', $error->getMessage(), "\n";
    exit(3);
}
